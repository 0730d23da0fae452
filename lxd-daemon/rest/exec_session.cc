#include "lxd-daemon/rest/exec_session.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/control_message.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/pump.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kExecArrivalTime{30};
/// A terminal's last output passes through the kernel's work queue: after the command's end it comes within
/// this time, or a process in the background still holds the terminal.
constexpr std::chrono::milliseconds kTerminalFlushTime{200};

constexpr int kCommandNotFound = 127;
constexpr int kCommandNotExecutable = 126;

struct Pipe {
    UniqueFd read, write;
};
Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe2", "for a command");
    return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> open_null() {
    UniqueFd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", "/dev/null");
    return fd;
}

Result<UniqueFd> open_record(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", path);
    return fd;
}

/// A terminal has no end but what its user types for it: once for a line that was begun, and once for the
/// end. Without, a command that reads would wait for ever.
std::string end_of_input_keys(int terminal) {
    termios settings{};
    if (::tcgetattr(terminal, &settings) != 0 || settings.c_cc[VEOF] == _POSIX_VDISABLE) return {};
    return std::string(2, static_cast<char>(settings.c_cc[VEOF]));
}

/// The command's side of its streams; closed once it has started.
struct GuestEnds {
    UniqueFd in, out, err;
};

class Exec : public std::enable_shared_from_this<Exec> {
public:
    Exec(Services& services, operations::OperationPtr operation, ExecOrder order)
        : services_(services),
          operation_(std::move(operation)),
          order_(std::move(order)),
          outputs_done_(services.io),
          end_(std::make_shared<OutputEnd>()) {}

    static asio::awaitable<void> run(std::shared_ptr<Exec> self);

private:
    asio::awaitable<Result<int>> serve();
    asio::awaitable<Result<>> start_command();
    asio::awaitable<Result<int>> wait_for_end();
    Result<GuestEnds> prepare_streams();
    void attach_streams(runtime::ExecHandle handle);
    void add_output(const std::shared_ptr<Descriptor>& from, const char* name);
    asio::awaitable<void> finish_outputs();
    void say_goodbye();
    std::shared_ptr<Descriptor> adopt(UniqueFd fd) {
        return std::make_shared<Descriptor>(services_.io, fd.release());
    }

    static asio::awaitable<void> serve_output(std::shared_ptr<Exec> self, std::shared_ptr<Descriptor> from,
                                              std::shared_ptr<Websocket> to);
    static asio::awaitable<void> watch_output(std::shared_ptr<Exec> self, std::shared_ptr<Descriptor> from,
                                              std::shared_ptr<Websocket> to);
    static asio::awaitable<void> serve_input(std::shared_ptr<Exec> self, std::shared_ptr<Descriptor> to);
    static asio::awaitable<void> serve_control(std::shared_ptr<Exec> self);
    void obey(const ControlMessage& message);

    Services& services_;
    operations::OperationPtr operation_;
    ExecOrder order_;
    std::shared_ptr<Descriptor> channel_, input_, pty_;
    std::vector<std::shared_ptr<Descriptor>> outputs_;
    UniqueFd our_in_, our_out_, our_err_;  ///< until the command has started
    int outputs_running_ = 0;
    asio::steady_timer outputs_done_;
    std::shared_ptr<OutputEnd> end_;
    bool ended_ = false;
};

Result<GuestEnds> Exec::prepare_streams() {
    GuestEnds ends;
    if (order_.post.interactive) return ends;
    if (order_.meeting) {
        LX_TRY_AS(Pipe in, make_pipe());
        LX_TRY_AS(Pipe out, make_pipe());
        LX_TRY_AS(Pipe err, make_pipe());
        our_in_ = std::move(in.write);
        our_out_ = std::move(out.read);
        our_err_ = std::move(err.read);
        return GuestEnds{std::move(in.read), std::move(out.write), std::move(err.write)};
    }
    LX_TRY_AS(ends.in, open_null());
    if (order_.record_base.empty()) {
        LX_TRY_AS(ends.out, open_null());
        LX_TRY_AS(ends.err, open_null());
    } else {
        LX_TRY_AS(ends.out, open_record(order_.record_base + ".stdout"));
        LX_TRY_AS(ends.err, open_record(order_.record_base + ".stderr"));
    }
    return ends;
}

asio::awaitable<Result<>> Exec::start_command() {
    auto start = [self = shared_from_this()]() -> Result<runtime::ExecHandle> {
        LX_TRY_AS(const GuestEnds ends, self->prepare_streams());
        const auto& post = self->order_.post;
        runtime::ExecRequest request;
        request.argv = post.command;
        request.environment = post.environment;
        request.cwd = post.cwd;
        request.uid = post.user;
        request.gid = post.group;
        request.pty = post.interactive;
        if (post.width > 0) request.width = post.width;
        if (post.height > 0) request.height = post.height;
        request.stdin_fd = ends.in.get();
        request.stdout_fd = ends.out.get();
        request.stderr_fd = ends.err.get();
        return self->services_.runtime->exec(self->order_.instance, request);
    };
    auto starting = on_worker(services_, std::move(start));
    LX_CO_TRY_AS(auto handle, co_await std::move(starting));
    channel_ = adopt(std::move(handle.channel));
    if (order_.meeting) attach_streams(std::move(handle));
    co_return Result<>{};
}

void Exec::attach_streams(runtime::ExecHandle handle) {
    if (order_.post.interactive) {
        pty_ = adopt(std::move(handle.pty_master));
        input_ = pty_;
        add_output(pty_, "0");
    } else {
        input_ = adopt(std::move(our_in_));
        add_output(adopt(std::move(our_out_)), "1");
        add_output(adopt(std::move(our_err_)), "2");
    }
    asio::co_spawn(services_.io, serve_input(shared_from_this(), input_), asio::detached);
    asio::co_spawn(services_.io, serve_control(shared_from_this()), asio::detached);
}

void Exec::add_output(const std::shared_ptr<Descriptor>& from, const char* name) {
    const auto& socket = order_.meeting->socket(name);
    ++outputs_running_;
    outputs_.push_back(from);
    asio::co_spawn(services_.io, serve_output(shared_from_this(), from, socket), asio::detached);
    // The terminal's socket is read by the input.
    if (!pty_) asio::co_spawn(services_.io, watch_output(shared_from_this(), from, socket), asio::detached);
}

asio::awaitable<void> Exec::serve_output(std::shared_ptr<Exec> self, std::shared_ptr<Descriptor> from,
                                         std::shared_ptr<Websocket> to) {
    auto pumping = pump_output(from, to, self->end_);
    co_await std::move(pumping);
    // Closing a pipe tells a command that still writes; the terminal is closed at the end.
    error_code ignored;
    if (from != self->pty_) from->close(ignored);
    if (--self->outputs_running_ == 0) self->outputs_done_.cancel();
}

/// A client that closes its output is like a reader that closes its pipe.
asio::awaitable<void> Exec::watch_output(std::shared_ptr<Exec> self, std::shared_ptr<Descriptor> from,
                                         std::shared_ptr<Websocket> to) {
    auto reading = read_to_end(to);
    co_await std::move(reading);
    error_code ignored;
    from->close(ignored);
    (void)self;
}

asio::awaitable<void> Exec::serve_input(std::shared_ptr<Exec> self, std::shared_ptr<Descriptor> to) {
    const auto socket = self->order_.meeting->socket("0");
    auto pumping = pump_input(socket, to);
    const bool end_was_said = co_await std::move(pumping);
    error_code ignored;
    if (to != self->pty_) {
        to->close(ignored);
    } else if (!end_was_said && !self->ended_) {
        (void)runtime::exec_signal(self->channel_->native_handle(), SIGHUP);  // the terminal is gone
    } else if (end_was_said && to->is_open()) {
        const std::string keys = end_of_input_keys(to->native_handle());
        auto typing =
            asio::async_write(*to, asio::buffer(keys), asio::redirect_error(asio::use_awaitable, ignored));
        co_await std::move(typing);
    }
    if (!end_was_said) co_return;
    auto reading = read_to_end(socket);
    co_await std::move(reading);
}

asio::awaitable<void> Exec::serve_control(std::shared_ptr<Exec> self) {
    auto arriving = self->order_.meeting->control();
    const auto socket = co_await std::move(arriving);
    if (!socket) co_return;
    for (;;) {
        auto reading = socket->read_message(kMaxControlMessage);
        const auto text = co_await std::move(reading);
        if (!text) break;
        const auto message = parse_control_message(*text);
        if (message && !self->ended_) self->obey(*message);
    }
    // As LXD: a command whose client has vanished is not left behind.
    if (!self->ended_) (void)runtime::exec_signal(self->channel_->native_handle(), SIGKILL);
}

void Exec::obey(const ControlMessage& message) {
    Result<> done;
    if (message.kind == ControlMessage::Kind::signal) {
        done = runtime::exec_signal(channel_->native_handle(), message.signal);
    } else if (pty_) {
        winsize size{};
        size.ws_col = message.width;
        size.ws_row = message.height;
        if (::ioctl(pty_->native_handle(), TIOCSWINSZ, &size) != 0)
            done = fail_errno("TIOCSWINSZ", "on a terminal");
    }
    if (!done)
        log::debug("control message failed",
                   {{"operation", operation_->id()}, {"error", done.error().message}});
}

asio::awaitable<Result<int>> Exec::wait_for_end() {
    for (;;) {
        LX_CO_TRY_AS(const auto message, runtime::exec_wait_message(channel_->native_handle()));
        if (message) co_return message->exit_code;
        error_code error;
        auto readable =
            channel_->async_wait(Descriptor::wait_read, asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(readable);
        if (error) co_return fail(Status::internal, "Waiting for the command: " + error.message());
    }
}

/// Lets the rest of the output out: all that is there, but nothing that a process left in the background may
/// still write.
asio::awaitable<void> Exec::finish_outputs() {
    error_code error;
    if (pty_ && outputs_running_ > 0) {
        outputs_done_.expires_after(kTerminalFlushTime);
        auto wait = outputs_done_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
    end_->asked = true;
    for (const auto& output : outputs_) output->cancel(error);
    while (outputs_running_ > 0) {
        outputs_done_.expires_at(asio::steady_timer::time_point::max());
        auto wait = outputs_done_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
}

asio::awaitable<Result<int>> Exec::serve() {
    if (order_.meeting) {
        auto meeting = order_.meeting->all_arrived(kExecArrivalTime);
        if (!co_await std::move(meeting))
            co_return fail(Status::bad_request, "Timed out waiting for the websockets");
    }
    auto starting = start_command();
    LX_CO_TRY(co_await std::move(starting));
    auto waiting = wait_for_end();
    auto code = co_await std::move(waiting);
    ended_ = true;
    auto finishing = finish_outputs();
    co_await std::move(finishing);
    co_return code;
}

void Exec::say_goodbye() {
    error_code ignored;
    if (pty_) pty_->close(ignored);
    if (input_) input_->close(ignored);
    if (!order_.meeting) return;
    if (!channel_) return order_.meeting->close();
    order_.meeting->end();
    for (const char* name : {"0", "1", "2", "control"}) {
        if (order_.post.interactive && (name[0] == '1' || name[0] == '2')) continue;
        if (const auto& socket = order_.meeting->socket(name)) socket->close();
    }
}

/// As LXD: the codes by which a shell says that there is no such command, or that it cannot be executed, fail
/// the operation; `return` is there all the same.
void finish(operations::Operation& operation, int code) {
    const nlohmann::json metadata{{"return", code}};
    if (code != kCommandNotFound && code != kCommandNotExecutable) return operation.finish(metadata);
    operation.update_metadata(metadata);
    const char* const why = code == kCommandNotFound ? "Command not found" : "Command not executable";
    operation.finish(fail(Status::bad_request, why));
}

asio::awaitable<void> Exec::run(std::shared_ptr<Exec> self) {
    Result<int> code = fail(Status::internal, "Internal error, see the daemon's log");
    try {
        auto serving = self->serve();
        code = co_await std::move(serving);
    } catch (const std::exception& bug) {
        log::error("exception in a command's session",
                   {{"operation", self->operation_->id()}, {"what", bug.what()}});
    }
    self->ended_ = true;
    self->services_.meetings.erase(self->operation_->id());
    if (code) {
        finish(*self->operation_, *code);
    } else {
        self->operation_->finish(std::unexpected(code.error()));
    }
    self->say_goodbye();
}

}  // namespace

void start_exec(Services& services, operations::OperationPtr operation, ExecOrder order) {
    if (order.meeting) services.meetings.emplace(operation->id(), order.meeting);
    auto exec = std::make_shared<Exec>(services, std::move(operation), std::move(order));
    asio::co_spawn(services.io, Exec::run(std::move(exec)), asio::detached);
}

}  // namespace lxmgr::rest
