// Client::wait(): one GET of the operation's /wait decides; events only feed the progress line, so that
// losing them or getting them out of order costs nothing.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "lxmgr/client.h"
#include "lxmgr/loop.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

constexpr auto kWaitFrameTime = std::chrono::milliseconds{100};
constexpr auto kWaitQuietStart = std::chrono::milliseconds{500};

/// What an operation says about how far it is: any metadata key that ends in "_progress".
std::string progress_text(const Json& operation) {
    const auto metadata = operation.find("metadata");
    if (metadata == operation.end() || !metadata->is_object()) return {};
    for (const auto& [key, value] : metadata->items()) {
        if (key.ends_with("_progress") && value.is_string()) return value.get<std::string>();
    }
    return {};
}

Result<Json> final_operation(Result<std::string> body) {
    LX_TRY_AS(const std::string text, std::move(body));
    LX_TRY_AS(const Answer answer, open_envelope(200, text));
    return operation_outcome(answer.metadata);
}

/// The wait of a user who watches: a spinner with the operation's own progress, and Ctrl-C to cancel.
class WatchedWait {
public:
    WatchedWait(Client& client, const std::string& url, const Waiting& waiting)
        : client_(client), url_(url), progress_(waiting.doing), loop_(client.server()) {}

    Result<Json> run() {
        LX_TRY(loop_.request("GET", url_ + "/wait", [this](Result<std::string> body) {
            outcome_ = final_operation(std::move(body));
            loop_.stop();
        }));
        loop_.on_signal(SIGINT, [this](int) { interrupt(); });
        loop_.after(kWaitQuietStart, [this] { show(); });
        loop_.run();
        progress_.clear();
        return std::move(outcome_);
    }

private:
    void show() {
        auto listen = [this](std::string_view text) { event(text); };
        SocketEvents events{.binary = {}, .text = listen, .closed = {}};
        (void)loop_.connect("/1.0/events?type=operation",
                            std::move(events));  // without it there is only less to show
        if (auto operation = client_.get(url_)) detail_ = progress_text(*operation);
        tick();
    }

    void tick() {
        progress_.tick(detail_);
        loop_.after(kWaitFrameTime, [this] { tick(); });
    }

    void event(std::string_view text) {
        const Json event = Json::parse(text, nullptr, false);
        if (!event.is_object() || !event.contains("metadata")) return;
        const Json& operation = event["metadata"];
        if (operation.is_object() && operation.value("id", "") == last_segment(url_))
            detail_ = progress_text(operation);
    }

    void interrupt() {
        progress_.clear();
        if (interrupted_) {
            outcome_ = fail(Status::unavailable,
                            fmt::format("Left while operation {} goes on; see 'lxmgr operation list'",
                                        last_segment(url_)));
            return loop_.stop();
        }
        interrupted_ = true;
        if (auto cancelled = client_.send("DELETE", url_, nullptr); !cancelled) {
            fmt::print(stderr, "This cannot be cancelled: {}. Press Ctrl-C again to leave it running.\n",
                       cancelled.error().message);
        }
    }

    Client& client_;
    std::string url_;
    Progress progress_;
    Loop loop_;
    std::string detail_;
    bool interrupted_ = false;
    Result<Json> outcome_ = fail(Status::unavailable, "The wait ended without an answer");
};

}  // namespace

Result<Json> Client::wait(const std::string& operation_url, const Waiting& waiting) {
    const std::string url = operation_url.substr(0, operation_url.find('?'));
    if (!waiting.doing.empty() && !quiet() && is_terminal(STDERR_FILENO))
        return WatchedWait(*this, url, waiting).run();
    LX_TRY_AS(const Json operation, get(url + "/wait"));
    return operation_outcome(operation);
}

}  // namespace lxmgr::cli
