#include "lxmgr/exec_session.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "lxmgr/descriptors.h"
#include "lxmgr/loop.h"
#include "lxmgr/object.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// After the command's end its output sockets end by themselves; a lost one must not hold us for ever.
constexpr auto kOutputGrace = std::chrono::seconds{5};
constexpr std::array kForwarded{SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};

class Session {
public:
    Session(Client& client, const ExecRequest& request)
        : client_(client),
          request_(request),
          object_(instance_object(request.instance)),
          loop_(client.server()) {}

    Result<int> run() {
        LX_TRY(begin());
        LX_TRY(connect());
        LX_TRY(wait_for_end());
        std::optional<RawMode> raw;
        if (request_.interactive && is_terminal(STDIN_FILENO)) {
            LX_TRY_AS(RawMode entered, RawMode::enter(STDIN_FILENO));
            raw.emplace(std::move(entered));
        }
        forward_signals();
        pump_input();
        loop_.run();
        return std::move(outcome_);
    }

private:
    /// POSTs the command; learns the operation and the secrets of its sockets.
    Result<> begin() {
        const WindowSize size = window_size(STDOUT_FILENO);
        const Json body = {{"command", request_.command}, {"environment", request_.environment},
                           {"cwd", request_.cwd},         {"user", request_.user},
                           {"group", request_.group},     {"interactive", request_.interactive},
                           {"width", size.width},         {"height", size.height},
                           {"wait-for-websocket", true},  {"record-output", false}};
        auto answer = client_.send("POST", object_.path + "/exec", body);
        if (!answer)
            return std::unexpected(explain(object_, "Running a command in", std::move(answer).error()));
        operation_ = answer->operation.substr(0, answer->operation.find('?'));
        fds_ = member(member(answer->metadata, "metadata"), "fds");
        return {};
    }

    Result<WebSocket*> socket(const char* fd, SocketEvents events) {
        const std::string secret = text_member(fds_, fd);
        if (secret.empty())
            return fail(Status::internal, fmt::format("The daemon gave no websocket for descriptor {}", fd));
        return loop_.connect(fmt::format("{}/websocket?secret={}", operation_, encode(secret)),
                             std::move(events));
    }

    /// The command starts when all are connected; the control socket goes first.
    Result<> connect() {
        LX_TRY_AS(control_, socket("control", {}));
        if (request_.interactive) {
            LX_TRY_AS(input_, socket("0", output_to(outputs_[0], STDOUT_FILENO)));
            outputs_[0].socket = input_;
            return {};
        }
        LX_TRY_AS(input_, socket("0", {}));
        LX_TRY_AS(outputs_[0].socket, socket("1", output_to(outputs_[0], STDOUT_FILENO)));
        LX_TRY_AS(outputs_[1].socket, socket("2", output_to(outputs_[1], STDERR_FILENO)));
        return {};
    }

    /// One stream of output and whether it goes on.
    struct Output {
        WebSocket* socket = nullptr;
        bool ended = false;
    };

    SocketEvents output_to(Output& stream, int fd) {
        const auto end = [this, &stream] {
            if (std::exchange(stream.ended, true)) return;
            stream.socket->close();  // LXD keeps an interactive operation until we have closed our side too
            finish_when_done();
        };
        return {.binary = [this, fd](std::string_view bytes) { output(fd, bytes); },
                .text = [this, fd, end](std::string_view text) { text.empty() ? end() : output(fd, text); },
                .closed = end};
    }

    /// Output that cannot be written ends the session, and with it the command: the daemon sees the control
    /// socket close.
    void output(int fd, std::string_view bytes) {
        if (write_all(fd, bytes)) return;
        outcome_ = fail_errno("write", fd == STDOUT_FILENO ? "stdout" : "stderr");
        loop_.stop();
    }

    /// The operation's end, asked for at once so that no event can be missed.
    Result<> wait_for_end() {
        return loop_.request("GET", operation_ + "/wait", [this](Result<std::string> body) {
            outcome_ = exit_status(std::move(body));
            ended_ = true;
            loop_.after(kOutputGrace, [this] { loop_.stop(); });
            finish_when_done();
        });
    }

    Result<int> exit_status(Result<std::string> body) {
        LX_TRY_AS(const std::string text, std::move(body));
        LX_TRY_AS(const Answer answer, open_envelope(200, text));
        const Json& status = member(member(answer.metadata, "metadata"), "return");
        auto operation = operation_outcome(answer.metadata);
        if (!operation) {
            Error error = explain(object_, "Running a command in", std::move(operation).error());
            if (!status.is_number_integer()) return std::unexpected(std::move(error));
            print_error(error.message);  // no such command, or it cannot be executed: that has an exit status
        }
        if (!status.is_number_integer())
            return fail(Status::internal, "The daemon did not say how the command ended");
        return status.get<int>();
    }

    void finish_when_done() {
        const bool streaming = std::ranges::any_of(
            outputs_, [](const Output& stream) { return stream.socket != nullptr && !stream.ended; });
        if (ended_ && !streaming) loop_.stop();
    }

    void pump_input() {
        loop_.when_readable(STDIN_FILENO, [this] {
            std::string buffer(std::size_t{64} << 10, '\0');
            const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) return pump_input();
            if (n <= 0) return input_->send_text("");
            buffer.resize(static_cast<std::size_t>(n));
            input_->send_binary(std::move(buffer), [this] { pump_input(); });
        });
    }

    void forward_signals() {
        for (const int signal : kForwarded)
            loop_.on_signal(signal, [this](int arrived) { send_signal(arrived); });
        if (!request_.interactive) return;
        loop_.on_signal(SIGWINCH, [this](int) { send_size(); });
    }

    void send_signal(int signal) {
        control_->send_text(Json{{"command", "signal"}, {"args", nullptr}, {"signal", signal}}.dump());
    }

    void send_size() {
        const WindowSize size = window_size(STDOUT_FILENO);
        const Json args = {{"width", std::to_string(size.width)}, {"height", std::to_string(size.height)}};
        control_->send_text(Json{{"command", "window-resize"}, {"args", args}, {"signal", 0}}.dump());
    }

    Client& client_;
    const ExecRequest& request_;
    Object object_;
    Loop loop_;
    std::string operation_;
    Json fds_;
    WebSocket* control_ = nullptr;
    WebSocket* input_ = nullptr;
    std::array<Output, 2> outputs_;
    bool ended_ = false;
    Result<int> outcome_ = fail(Status::unavailable, "The lxmgr daemon closed the connection");
};

}  // namespace

bool on_terminal() { return is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO); }

Result<int> run_exec(Client& client, const ExecRequest& request) { return Session(client, request).run(); }

}  // namespace lxmgr::cli
