// Opens an artifact, runs its self-test and prints what was opened: consumer MODEL
#include <regad/regad.hpp>

#include <exception>
#include <iostream>

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " MODEL\n";
        return 2;
    }
    try {
        regad::Detector detector(argv[1]);
        const regad_self_test_report report = detector.self_test();
        std::cout << detector.describe() << "\n"
                  << "regad " << regad::version() << ": golden results reproduced, map error " << report.map_error
                  << "\n";
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
}
