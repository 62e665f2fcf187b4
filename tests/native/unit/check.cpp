// Runs the tests of the sources named (test_scorer), or every test; fails if there is none.
#include "check.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace check {
namespace {

struct Case {
    const char *name;
    std::string source;
    void (*body)();
};

std::vector<Case> &cases() {
    static std::vector<Case> list;
    return list;
}

}  // namespace

Register::Register(const char *name, const char *file, void (*body)()) {
    const std::string path = file;
    const std::size_t from = path.rfind('/') + 1;  // 0 without a folder
    cases().push_back({name, path.substr(from, path.rfind('.') - from), body});
}

}  // namespace check

int main(int argc, char **argv) {
#ifdef __GLIBC__
    // Tests make and drop gigabytes: the heap keeps its pages, for new ones cost more than what is written to them.
    ::mallopt(M_MMAP_MAX, 0);
    ::mallopt(M_TRIM_THRESHOLD, -1);
#endif
    int failed = 0, passed = 0;
    for (const check::Case &test : check::cases()) {
        if (argc > 1 && std::find(argv + 1, argv + argc, test.source) == argv + argc) {
            continue;
        }
        try {
            test.body();
            ++passed;
        } catch (const std::exception &error) {
            ++failed;
            std::printf("FAILED %s\n  %s\n", test.name, error.what());
        }
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
