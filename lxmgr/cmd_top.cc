#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "lxmgr/commands.h"
#include "lxmgr/loop.h"
#include "lxmgr/parse.h"
#include "lxmgr/terminal.h"
#include "lxmgr/top_frame.h"

namespace lxmgr::cli {
namespace {

constexpr char kControlC = '\x03';
constexpr const char* kKeysLine = "c CPU  m memory  p processes  n network  a name  r reverse  q quit";

Result<TopSample> take_sample(Client& client, const TopView& view) {
    const char* all = view.with_project ? "&all-projects=true" : "";
    LX_TRY_AS(const Json instances, client.get(fmt::format("/1.0/instances?recursion=2{}", all)));
    return top_sample(instances, std::chrono::steady_clock::now());
}

/// The terminal's other screen, so that what was there comes back.
class OtherScreen {
public:
    OtherScreen() { write("\x1b[?1049h\x1b[?25l"); }
    OtherScreen(OtherScreen&&) = delete;
    ~OtherScreen() { write("\x1b[?25h\x1b[?1049l"); }
    static void write(const std::string& text) {
        std::fputs(text.c_str(), stdout);
        std::fflush(stdout);
    }
};

/// Drawn anew with every sample and every key.
struct Dashboard {
    Client& client;
    TopView view;
    std::chrono::milliseconds interval;
    Loop loop;
    TopSample before, now;
    Result<> outcome;

    void draw() const {
        auto size = window_size(STDOUT_FILENO);
        if (size.height > 1) --size.height;
        std::string text = "\x1b[H";
        for (const auto& line : top_frame(before, now, view, size)) text += line + "\x1b[K\r\n";
        OtherScreen::write(text + "\x1b[J" + kKeysLine);
    }
    void refresh() {
        auto sample = take_sample(client, view);
        if (!sample) {
            outcome = std::unexpected(std::move(sample).error());
            return loop.stop();
        }
        before = std::exchange(now, *std::move(sample));
        draw();
        loop.after(interval, [this] { refresh(); });
    }
    void read_keys() {
        std::array<char, 64> keys{};
        const auto count = ::read(STDIN_FILENO, keys.data(), keys.size());
        if (count <= 0) return loop.stop();
        for (const char key : std::string_view(keys.data(), static_cast<std::size_t>(count))) {
            if (key == 'q' || key == kControlC) return loop.stop();
            change_view(view, key);
        }
        draw();
        loop.when_readable(STDIN_FILENO, [this] { read_keys(); });
    }
};

Result<int> show_dashboard(Client& client, const TopView& view, std::chrono::milliseconds interval) {
    LX_TRY_AS(auto first, take_sample(client, view));
    Dashboard board{client, view, interval, Loop(client.server()), first, first, {}};
    {
        LX_TRY_AS(const auto raw, RawMode::enter(STDIN_FILENO));
        const OtherScreen screen;
        board.draw();
        board.loop.when_readable(STDIN_FILENO, [&board] { board.read_keys(); });
        board.loop.after(std::min(interval, std::chrono::milliseconds(500)), [&board] { board.refresh(); });
        board.loop.on_signal(SIGWINCH, [&board](int) { board.draw(); });
        board.loop.on_signal(SIGTERM, [&board](int) { board.loop.stop(); });
        board.loop.on_signal(SIGHUP, [&board](int) { board.loop.stop(); });
        board.loop.run();
    }
    LX_TRY(std::move(board.outcome));
    return 0;
}

Result<int> run_top(Client& client, const Args& args) {
    LX_TRY_AS(const unsigned seconds, parse_number(args.text("interval"), "the interval"));
    if (seconds < 1 || seconds > 3600) return misuse(args, "the interval is 1 to 3600 seconds");
    TopView view{.with_project = args.flag("all-projects")};
    change_view(view, args.text("sort") == "name" ? 'a' : args.text("sort").front());
    const bool watched = is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO) && !args.flag("once");
    if (watched) return show_dashboard(client, view, std::chrono::seconds(seconds));
    LX_TRY_AS(const auto before, take_sample(client, view));
    Loop pause(client.server());  // a rate is over a time
    pause.after(std::chrono::seconds(seconds), [&pause] { pause.stop(); });
    pause.run();
    LX_TRY_AS(const auto now, take_sample(client, view));
    for (const auto& line : top_frame(before, now, view, {})) fmt::print("{}\n", line);
    return 0;
}

constexpr Option kTopOptions[] = {
    {"--once", "", "print what one interval shows, and end; so it is where there is no terminal"},
    {"-d,--interval", "SECONDS", "time between two looks", false, "", "2"},
    {"-s,--sort", "COLUMN", "by cpu, memory, processes, network or name", false,
     "cpu|memory|processes|network|name", "cpu"},
    {"-A,--all-projects", "", "the instances of all projects"},
};
const Command kTopCommands[] = {
    {"top",
     "Watch what the instances use",
     {},
     kTopOptions,
     "CPU% is of one CPU: an instance that keeps two busy has 200. Keys: c, m, p, n and a sort by CPU, "
     "memory, processes, "
     "network and name; r turns the order round; q ends.",
     "top\ntop --once --sort memory",
     run_top},
};

}  // namespace

std::span<const Command> top_commands() { return kTopCommands; }

}  // namespace lxmgr::cli
