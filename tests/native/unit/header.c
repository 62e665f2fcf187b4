#include <regad/regad.h>

int header_is_c(void);
int header_is_c(void) { return regad_version() == REGAD_VERSION; }
