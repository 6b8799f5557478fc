// The main function of every test program: a process killed by its watchdog must not leave children behind,
// and tests must not depend on what the caller set up.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <clocale>
#include <csignal>

int main(int argc, char** argv) {
    ::umask(022);
    std::signal(SIGPIPE, SIG_DFL);  // a test runner may have it ignored, and that is inherited
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
