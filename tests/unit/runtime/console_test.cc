#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

class ConsoleTest : public RuntimeTest {
protected:
    std::string log(const std::string& name) { return read_console_log(console_log(name)).value_or(""); }
    bool log_holds(const std::string& name, const std::string& text) {
        return eventually([&] { return log(name).contains(text); });
    }
};

TEST_F(ConsoleTest, LogKeepsWhatInitPrints) {
    start("c1", {"/bin/sh", "-c", "tty; readlink /dev/console; echo hello; exec sleep infinity"});
    EXPECT_TRUE(log_holds("c1", "/dev/pts/0\r\npts/0\r\nhello\r\n"));
}

TEST_F(ConsoleTest, LastWordsOfInitAreKept) {
    start("c1", {"/bin/sh", "-c", "echo farewell; exit 1"});
    ASSERT_TRUE(events_.exit_of("c1"));
    EXPECT_EQ(log("c1"), "farewell\r\n");
}

TEST_F(ConsoleTest, RingHoldsTheNewestBytesAndCanBeCleared) {
    start("c1", {"/bin/sh", "-c",
                 "stty -opost; seq 1 60000; echo the end; read x; echo after; exec sleep infinity"});
    ASSERT_TRUE(log_holds("c1", "the end\n"));
    const std::string text = log("c1");
    EXPECT_EQ(text.size(), 128U * 1024);
    EXPECT_TRUE(text.ends_with("59999\n60000\nthe end\n"));
    EXPECT_LT(must(std::optional(std::filesystem::file_size(console_log("c1")))
                       .transform([](auto n) { return Result<std::uintmax_t>(n); })
                       .value()),
              200U * 1024);
    ASSERT_TRUE(clear_console_log(console_log("c1")));
    EXPECT_EQ(log("c1"), "");
    const UniqueFd console = must(runtime_->attach_console("c1"));
    ASSERT_EQ(::write(console.get(), "\n", 1), 1);
    ASSERT_TRUE(log_holds("c1", "after"));
    EXPECT_LT(log("c1").size(), 20U);
}

TEST_F(ConsoleTest, SeveralClientsSeeOneConsole) {
    start("c1", {"/bin/sh", "-c", "stty -echo; while read line; do echo \"got $line\"; done"});
    const UniqueFd first = must(runtime_->attach_console("c1"));
    UniqueFd second = must(runtime_->attach_console("c1"));
    ASSERT_EQ(::write(first.get(), "one\n", 4), 4);
    read_until(first.get(), "got one");
    read_until(second.get(), "got one");
    second.reset();
    ASSERT_EQ(::write(first.get(), "two\n", 4), 4);
    read_until(first.get(), "got two");
}

TEST_F(ConsoleTest, ResizeReachesTheGuest) {
    start("c1", {"/bin/sh", "-c", "echo up; while read x; do stty size; done"});
    ASSERT_TRUE(log_holds("c1", "up"));
    const UniqueFd console = must(runtime_->attach_console("c1"));
    ASSERT_TRUE(runtime_->resize_console("c1", 132, 50));
    ASSERT_EQ(::write(console.get(), "\n", 1), 1);
    read_until(console.get(), "50 132");
}

TEST_F(ConsoleTest, LongPasteArrivesWhole) {
    start("c1", {"/bin/sh", "-c", "stty raw -echo; echo up; head -c 200000 | cksum; exec sleep infinity"});
    ASSERT_TRUE(log_holds("c1", "up"));
    const UniqueFd console = must(runtime_->attach_console("c1"));
    const std::string paste(200'000, 'p');
    for (std::size_t done = 0; done < paste.size();) {
        const ssize_t n = ::write(console.get(), paste.data() + done, paste.size() - done);
        ASSERT_GT(n, 0);
        done += static_cast<std::size_t>(n);
    }
    EXPECT_TRUE(log_holds("c1", " 200000"));
}

TEST_F(ConsoleTest, ClientThatLeavesAmidAPasteCostsNothing) {
    const Running running = start("c1", {"/bin/sh", "-c", "stty raw -echo; echo up; exec sleep infinity"});
    ASSERT_TRUE(log_holds("c1", "up"));
    UniqueFd console = must(runtime_->attach_console("c1"));
    ASSERT_EQ(::fcntl(console.get(), F_SETFL, O_NONBLOCK), 0);
    const std::string paste(200'000, 'p');
    ASSERT_GT(::write(console.get(), paste.data(), paste.size()), 65536);  // more than a tty takes
    console.reset();
    const auto cpu_ticks = [&] {
        const auto status = must(read_file(fmt::format("/proc/{}/status", running.init_pid)));
        const auto monitor = std::stoi(status.substr(status.find("PPid:\t") + 6));
        const auto fields = split(must(read_file(fmt::format("/proc/{}/stat", monitor))), ' ');
        return std::stol(fields[13]) + std::stol(fields[14]);
    };
    const long before = cpu_ticks();
    ::poll(nullptr, 0, 300);
    EXPECT_LT(cpu_ticks() - before, 5);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(runtime_->attach_console("c1"));
}

TEST_F(ConsoleTest, QuestionsAreAnsweredWhileNobodyIsAttached) {
    start("c1", {"/usr/bin/perl", "-e",
                 "system 'stty raw -echo'; $| = 1; for my $q (qq(\\e[18t), qq(\\e[6n), qq(\\e[c)) { print "
                 "$q; sysread STDIN, "
                 "my $a, 64; $a =~ s/\\e/E/; print qq(<$a>) } sleep"});
    EXPECT_TRUE(log_holds("c1", "<E[8;24;80t>"));
    EXPECT_TRUE(log_holds("c1", "<E[24;80R>"));
    EXPECT_TRUE(log_holds("c1", "<E[?62;c>"));
}

TEST_F(ConsoleTest, HangupDoesNotEndIt) {
    // As a getty does: vhangup(2) is 153 on x86-64.
    start("c1",
          {"/usr/bin/perl", "-e",
           "$SIG{HUP} = 'IGNORE'; use POSIX; setsid(); open(F, '+<', '/dev/console'); ioctl(F, 0x540E, 1); "
           "syscall(153); "
           "for (1..3) { open(T, '>', '/dev/pts/0') or die; print T qq(alive $_\\n); close(T) } sleep"});
    EXPECT_TRUE(log_holds("c1", "alive 3"));
    const UniqueFd console = must(runtime_->attach_console("c1"));
    ASSERT_EQ(shell("c1", "echo shown > /dev/console").code, 0);
    read_until(console.get(), "shown");
}

TEST_F(ConsoleTest, ClientThatDoesNotReadHoldsUpNobody) {
    start("c1", {"/bin/sh", "-c", "read x; seq 1 1000000; echo the end; exec sleep infinity"});
    const UniqueFd deaf = must(runtime_->attach_console("c1"));
    ASSERT_EQ(::write(deaf.get(), "\n", 1), 1);
    EXPECT_TRUE(log_holds("c1", "the end"));
}

TEST_F(ConsoleTest, DamagedLogIsAnError) {
    const std::string path = dir_ + "/damaged";
    ASSERT_TRUE(write_file_atomic(path, "no ring at all, but long enough for a header"));
    EXPECT_FALSE(read_console_log(path));
    EXPECT_EQ(read_console_log(dir_ + "/absent").error().status, Status::not_found);
}

}  // namespace
}  // namespace lxmgr::runtime::test
