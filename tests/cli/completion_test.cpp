// Completion: what `kith __complete` knows, and that bash, zsh and fish get it.
#include <gtest/gtest.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstdlib>
#include <set>
#include <sstream>

#include <kith/address.hpp>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;

/// The first column of the candidates.
std::set<std::string> completions(std::vector<std::string> words) {
    std::vector<std::string> command{kith_command(), "__complete", "--"};
    command.insert(command.end(), words.begin(), words.end());
    const auto ran = run(command);
    EXPECT_EQ(ran.status, 0) << ran.err;
    std::set<std::string> found;
    std::istringstream lines{ran.out};
    for (std::string line; std::getline(lines, line);) found.insert(line.substr(0, line.find('\t')));
    return found;
}

/// A System V queue of this test alone.
class private_queue {
public:
    private_queue() : id_{::msgget(IPC_PRIVATE, 0600)} {}
    ~private_queue() { ::msgctl(id_, IPC_RMID, nullptr); }
    private_queue(const private_queue&) = delete;
    private_queue& operator=(const private_queue&) = delete;
    [[nodiscard]] std::string address() const { return "sysv-mq:id=" + std::to_string(id_); }

private:
    int id_;
};

TEST(cli_completion, verbs_options_and_schemes_come_from_the_model) {
    EXPECT_TRUE(completions({"se"}).contains("send"));
    EXPECT_FALSE(completions({"se"}).contains("recv"));
    EXPECT_EQ(completions({"recv", "--fo"}), (std::set<std::string>{"--follow", "--format"}));
    EXPECT_EQ(completions({"eventfd", "r"}), (std::set<std::string>{"read"}));
    EXPECT_EQ(completions({"show", "posix-m"}), (std::set<std::string>{"posix-mq:"}));
    EXPECT_EQ(completions({"recv", "fd:0", "--format", ""}), (std::set<std::string>{"hex", "json", "lines", "raw"}));
    EXPECT_EQ(completions({"tour", "--only", "sysv"}), (std::set<std::string>{"sysv-mq", "sysv-sem", "sysv-shm"}));
    EXPECT_EQ(completions({"tour", "--only", "pipe,posix-m"}), (std::set<std::string>{"pipe,posix-mq"}));
    EXPECT_EQ(completions({"fd", "send", "unix:x", "--seal", "a"}), (std::set<std::string>{"all"}));
    EXPECT_EQ(completions({"fd", "recv", "unix:x", "--seal", "grow,s"}),
              (std::set<std::string>{"grow,seal", "grow,shrink"}));
    EXPECT_TRUE(completions({"send", "fd:1", ""}).empty());  // the text is the user's
    EXPECT_TRUE(completions({"nonsense", "x"}).empty());
}

TEST(cli_completion, only_schemes_that_the_verb_can_use_are_offered) {
    EXPECT_EQ(completions({"drain", ""}), (std::set<std::string>{"sysv-mq:", "posix-mq:"}));
    EXPECT_EQ(completions({"wait", ""}), (std::set<std::string>{"pid:"}));
    EXPECT_EQ(completions({"sem", "op", ""}), (std::set<std::string>{"sysv-sem:"}));
    EXPECT_EQ(completions({"shm", "read", ""}), (std::set<std::string>{"sysv-shm:", "posix-shm:"}));
    EXPECT_EQ(completions({"eventfd", "read", "f"}), (std::set<std::string>{"fd:"}));
    const private_queue queue;
    EXPECT_TRUE(completions({"drain", "sysv-mq:"}).contains(queue.address()));
    EXPECT_TRUE(completions({"listen", "sysv-mq:"}).empty());
}

TEST(cli_completion, live_queues_and_processes_are_known) {
    const private_queue queue;
    EXPECT_TRUE(completions({"show", "sysv-mq:"}).contains(queue.address()));
    EXPECT_TRUE(
        completions({"wait", "pid:" + std::to_string(::getpid())}).contains("pid:" + std::to_string(::getpid())));
}

TEST(cli_completion, posix_objects_are_known) {
    const auto name = std::string{"/"}.append(unique_name("shm"));
    const auto path = "/dev/shm" + name;
    if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "/dev/shm cannot be written";
    std::fclose(std::fopen(path.c_str(), "w"));
    EXPECT_TRUE(completions({"show", "posix-shm:/kith-test"}).contains("posix-shm:" + name));
    EXPECT_FALSE(completions({"show", "posix-sem:/kith-test"}).contains("posix-sem:" + name));
    ::unlink(path.c_str());
}

TEST(cli_completion, fifos_are_found_without_being_opened_and_names_are_escaped) {
    const temp_dir dir;
    ASSERT_EQ(::mkfifo(dir.path("a fifo").c_str(), 0600), 0);
    ASSERT_EQ(::mkdir(dir.path("below").c_str(), 0700), 0);
    std::fclose(std::fopen(dir.path("file").c_str(), "w"));
    EXPECT_EQ(completions({"send", "fifo:" + dir.dir() + "/"}),
              (std::set<std::string>{"fifo:" + dir.dir() + "/a%20fifo", "fifo:" + dir.dir() + "/below/"}));
}

std::string in_shell(const std::vector<std::string>& shell, const std::string& script) {
    const temp_dir dir;
    ::symlink(kith_command().c_str(), dir.path("kith").c_str());
    auto command = shell;
    command.push_back("export HOME=" + dir.dir() + " PATH=" + dir.dir() + ":$PATH\n" + script);
    const auto ran = run(command);
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out;
}
bool has_line(const std::string& text, const std::string& wanted) {
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);)
        if (line == wanted) return true;
    return false;
}

TEST(cli_completion, bash_offers_the_candidates) {
    const private_queue queue;
    const auto script = source_dir() + "/cli/completions/kith.bash";
    const auto asked = [&](const std::string& line) {
        return in_shell({"bash", "--norc", "-c"},
                        "source " + script + "\nCOMP_LINE='" + line +
                            "' COMP_POINT=${#COMP_LINE}\n_kith\nprintf '%s\\n' \"${COMPREPLY[@]}\"");
    };
    EXPECT_TRUE(has_line(asked("kith se"), "send"));
    EXPECT_TRUE(has_line(asked("kith show posix-m"), "posix-mq:"));
    // Readline has already broken the word at the colon.
    EXPECT_TRUE(has_line(asked("kith show sysv-mq:"), queue.address().substr(8)));
    EXPECT_TRUE(has_line(asked("kith show " + queue.address()), queue.address().substr(11)));
    EXPECT_TRUE(has_line(asked("kith recv --f"), "--format"));
    EXPECT_TRUE(has_line(asked("kith tour --only fifo,sysv-m"), "fifo,sysv-mq"));
    EXPECT_TRUE(has_line(asked("kith fd send unix:x --seal shr"), "shrink"));
    EXPECT_TRUE(has_line(asked("kith drain p"), "posix-mq:"));
    EXPECT_FALSE(has_line(asked("kith drain p"), "posix-sem:"));
}

TEST(cli_completion, zsh_offers_the_candidates) {
    const private_queue queue;
    const auto script = source_dir() + "/cli/completions/_kith";
    // The functions that the completion system would call write down what they are given.
    const auto asked = [&](const std::string& words) {
        return in_shell({"zsh", "-f", "-c"},
                        "compdef() { : }\n"
                        "_describe() { print -rl -- ${(P)2} }\n"
                        "source " +
                            script + "\nwords=(" + words + ")\nCURRENT=$#words\n_kith");
    };
    EXPECT_NE(asked("kith se").find("send:send one message"), std::string::npos);
    EXPECT_NE(asked("kith show posix-m").find("posix-mq\\::scheme"), std::string::npos);
    EXPECT_NE(asked("kith show sysv-mq:").find("sysv-mq\\:" + queue.address().substr(8)), std::string::npos);
    EXPECT_NE(asked("kith recv --f").find("--format:"), std::string::npos);
    EXPECT_NE(asked("kith tour --only fifo,sysv-m").find("fifo,sysv-mq:messages"), std::string::npos);
    EXPECT_NE(asked("kith fd send unix:x --seal shr").find("shrink"), std::string::npos);
    EXPECT_NE(asked("kith drain p").find("posix-mq\\:"), std::string::npos);
    EXPECT_EQ(asked("kith drain p").find("posix-sem"), std::string::npos);
}

TEST(cli_completion, zsh_loads_it_as_a_completion_function) {
    // A real line editor on a terminal of its own: what is typed, then TAB, comes back completed.
    const auto out = in_shell({"zsh", "-f", "-c"},
                              "zmodload zsh/zpty\n"
                              "zpty -b shell zsh -f -i\n"
                              "zpty -w shell 'PS1=; PROMPT=; TERM=dumb; autoload -U compinit; compinit -D -u; source " +
                                  source_dir() +
                                  "/cli/completions/_kith; print rea''dy'\n"
                                  "seen=; for i in {1..400}; do zpty -r -t shell line && seen+=$line || sleep 0.02; "
                                  "[[ $seen == *ready* ]] && break; done\n"
                                  "zpty -w -n shell $'kith dra\\t'\n"
                                  "for i in {1..400}; do zpty -r -t shell line && seen+=$line || sleep 0.02; "
                                  "[[ $seen == *'kith drain'* ]] && break; done\n"
                                  "zpty -d shell\n"
                                  "print -r -- $seen");
    EXPECT_NE(out.find("kith drain"), std::string::npos) << out;
}

TEST(cli_completion, fish_offers_the_candidates) {
    const private_queue queue;
    const auto script = source_dir() + "/cli/completions/kith.fish";
    const auto asked = [&](const std::string& line) {
        return in_shell({"fish", "--no-config", "-c"}, "source " + script + "\ncomplete -C '" + line + "'");
    };
    EXPECT_NE(asked("kith se").find("send\tsend one message"), std::string::npos);
    EXPECT_NE(asked("kith show posix-m").find("posix-mq:\tscheme"), std::string::npos);
    EXPECT_NE(asked("kith show sysv-mq:").find(queue.address()), std::string::npos);
    EXPECT_NE(asked("kith recv --f").find("--format\t"), std::string::npos);
    EXPECT_NE(asked("kith tour --only fifo,sysv-m").find("fifo,sysv-mq\tmessages"), std::string::npos);
    EXPECT_NE(asked("kith fd send unix:x --seal shr").find("shrink"), std::string::npos);
    EXPECT_NE(asked("kith drain p").find("posix-mq:\t"), std::string::npos);
    EXPECT_EQ(asked("kith drain p").find("posix-sem"), std::string::npos);
}

}  // namespace
