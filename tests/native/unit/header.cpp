#include <regad/regad.hpp>

int header_is_cxx();
int header_is_cxx() { return regad::version().empty() ? 0 : 1; }
