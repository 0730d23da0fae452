// console: two websockets, of which one is a terminal that anybody may type into. Leaving is a key of ours
// (Ctrl-a q), so that what runs on the console never notices.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <optional>

#include "lxmgr/commands.h"
#include "lxmgr/descriptors.h"
#include "lxmgr/detach.h"
#include "lxmgr/loop.h"
#include "lxmgr/object.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

class Console {
public:
    Console(Client& client, const std::string& name)
        : client_(client), object_(instance_object(name)), loop_(client.server()) {}

    Result<int> run() {
        LX_TRY(attach());
        hint(fmt::format("Attached to the console of '{}'. To leave it press Ctrl-a, then q.", object_.name));
        std::optional<RawMode> raw;
        if (is_terminal(STDIN_FILENO)) {
            LX_TRY_AS(RawMode entered, RawMode::enter(STDIN_FILENO));
            raw.emplace(std::move(entered));
        }
        loop_.on_signal(SIGWINCH, [this](int) { send_size(); });
        for (const int signal : {SIGTERM, SIGHUP, SIGINT})
            loop_.on_signal(signal, [this](int) { loop_.stop(); });
        pump_input();
        loop_.run();
        raw.reset();
        hint("");  // what was on the console may not have ended its line
        hint(closed_ ? fmt::format("The console of '{}' was closed.", object_.name) : "Detached.");
        return 0;
    }

private:
    Result<> attach() {
        const WindowSize size = window_size(STDOUT_FILENO);
        const Json body = {{"width", size.width}, {"height", size.height}, {"type", "console"}};
        auto answer = client_.send("POST", object_.path + "/console", body);
        if (!answer)
            return std::unexpected(
                explain(object_, "Attaching to the console of", std::move(answer).error()));
        const std::string url =
            answer->operation.substr(0, answer->operation.find('?')) + "/websocket?secret=";
        const Json& fds = member(member(answer->metadata, "metadata"), "fds");
        LX_TRY_AS(control_, loop_.connect(url + encode(text_member(fds, "control")), {}));
        const auto ended = [this] {
            closed_ = true;
            loop_.stop();
        };
        const auto output = [ended](std::string_view bytes) {
            if (!write_all(STDOUT_FILENO, bytes)) ended();
        };
        const auto text = [ended](std::string_view end) {
            if (end.empty()) ended();
        };
        SocketEvents events{.binary = output, .text = text, .closed = ended};
        LX_TRY_AS(terminal_, loop_.connect(url + encode(text_member(fds, "0")), std::move(events)));
        return {};
    }

    void pump_input() {
        loop_.when_readable(STDIN_FILENO, [this] {
            std::string buffer(4096, '\0');
            const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) return pump_input();
            if (n <= 0) return loop_.stop();
            buffer.resize(static_cast<std::size_t>(n));
            const bool leave = detach_.filter(buffer);
            if (leave) return loop_.stop();
            if (buffer.empty()) return pump_input();
            terminal_->send_binary(std::move(buffer), [this] { pump_input(); });
        });
    }

    void send_size() {
        const WindowSize size = window_size(STDOUT_FILENO);
        const Json args = {{"width", std::to_string(size.width)}, {"height", std::to_string(size.height)}};
        control_->send_text(Json{{"command", "window-resize"}, {"args", args}, {"signal", 0}}.dump());
    }

    Client& client_;
    Object object_;
    Loop loop_;
    DetachKey detach_;
    WebSocket* control_ = nullptr;
    WebSocket* terminal_ = nullptr;
    bool closed_ = false;
};

Result<int> print_log(Client& client, const std::string& name) {
    const Object object = instance_object(name);
    auto log = client.open({.method = "GET", .target = object.path + "/console", .headers = {}, .body = {}});
    if (!log) return std::unexpected(explain(object, "Reading the console log of", std::move(log).error()));
    std::string buffer(std::size_t{64} << 10, '\0');
    for (;;) {
        LX_TRY_AS(const std::size_t n, (*log)->read(buffer));
        if (n == 0) return 0;
        if (!write_all(STDOUT_FILENO, std::string_view(buffer).substr(0, n))) return 1;
    }
}

Result<int> run_console(Client& client, const Args& args) {
    if (args.flag("show-log")) return print_log(client, args.text("INSTANCE"));
    return Console(client, args.text("INSTANCE")).run();
}

constexpr Operand kConsoleOperands[] = {{"INSTANCE", Count::one, Kind::instance}};
constexpr Option kConsoleOptions[] = {{"--show-log", "", "print what the console has shown so far, and end"}};
const Command kConsoleCommands[] = {
    {"console", "Attach to the console of an instance", kConsoleOperands, kConsoleOptions,
     "Leave with Ctrl-a q; Ctrl-a Ctrl-a sends a Ctrl-a.", "console dev\nconsole dev --show-log",
     run_console},
};

}  // namespace

std::span<const Command> console_commands() { return kConsoleCommands; }

}  // namespace lxmgr::cli
