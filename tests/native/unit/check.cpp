#include "check.hpp"

#include <cstdio>
#include <cstring>
#include <vector>

namespace check {
namespace {

struct Case {
    const char *name;
    void (*body)();
};

std::vector<Case> &cases() {
    static std::vector<Case> list;
    return list;
}

}  // namespace

Register::Register(const char *name, void (*body)()) { cases().push_back({name, body}); }

int run_all(int argc, char **argv) {
    int failed = 0, passed = 0;
    for (const Case &test : cases()) {
        if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) {
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
    return failed;
}

}  // namespace check

int main(int argc, char **argv) { return check::run_all(argc, argv) == 0 ? 0 : 1; }
