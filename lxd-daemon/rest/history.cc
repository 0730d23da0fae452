#include "lxd-daemon/rest/history.h"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <mutex>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "lxd-daemon/rest/remote.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

constexpr std::chrono::milliseconds kGathered{250};
constexpr std::size_t kMostWaiting = 4096;
constexpr std::size_t kLongestPath = 1024;
constexpr std::size_t kLongestError = 512;

/// What a request leaves on the I/O thread; the rest is worked out where it is written.
struct Noted {
    database::HistoryRecord record;
    std::string requestor_json;
    std::string reply;  ///< of a failure: the envelope with its sentence
    operations::OperationPtr operation;
};

std::string shortened(std::string text, std::size_t longest) {
    if (!is_utf8(text)) text = "(not UTF-8) " + to_hex(text.substr(0, longest / 4));
    if (text.size() <= longest) return text;
    while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0U) == 0x80U) --longest;
    return text.substr(0, longest) + "...";
}

/// Downloads and listings are not kept, but SFTP changes what it likes.
bool is_kept(const Request& request, std::string_view method, const Response& response) {
    if (!request.guest.empty() || request.path.empty()) return false;
    if (method != "GET" && method != "HEAD" && method != "OPTIONS") return true;
    return response.http_status == static_cast<int>(Status::forbidden) ||
           (response.upgraded && request.path.ends_with("/sftp"));
}

/// The path with what of the query says what is meant. Never all of it: there are secrets in some.
std::string shown_path(const Request& request) {
    constexpr std::array kShown{"path", "force", "target"};
    std::string out = request.path;
    char separator = '?';
    for (const char* name : kShown) {
        const auto found = request.query.find(name);
        if (found == request.query.end()) continue;
        out.append(1, separator).append(name).append("=").append(found->second);
        separator = '&';
    }
    return shortened(std::move(out), kLongestPath);
}

std::string operation_of(const Response& response) {
    constexpr std::string_view kPrefix = "/1.0/operations/";
    if (response.http_status != 202) return {};
    for (const auto& [name, value] : response.headers) {
        if (name != "Location" || !value.starts_with(kPrefix)) continue;
        return value.substr(kPrefix.size(), value.find('?') - kPrefix.size());
    }
    return {};
}

const char* word_for(api::StatusCode status) {
    if (status == api::StatusCode::success) return "success";
    return status == api::StatusCode::cancelled ? "cancelled" : "failure";
}

const char* word_for(int http_status) {
    if (http_status < 400) return "success";
    return http_status == static_cast<int>(Status::forbidden) ? "refused" : "failure";
}

/// A string member of JSON text; empty when there is none.
std::string text_in(const nlohmann::json& object, const char* name) {
    if (!object.is_object()) return {};
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

database::HistoryEnd end_of(const operations::Operation& operation) {
    const auto shown = operation.to_json();
    return {operation.id(), word_for(operation.status()), shortened(text_in(shown, "err"), kLongestError),
            now()};
}

void complete(Noted& noted) {
    auto& record = noted.record;
    const auto requestor = nlohmann::json::parse(noted.requestor_json, nullptr, false);
    record.username = text_in(requestor, "username");
    record.protocol = text_in(requestor, "protocol");
    record.address = text_in(requestor, "address");
    const auto reply = nlohmann::json::parse(noted.reply, nullptr, false);
    record.error = shortened(text_in(reply, "error"), kLongestError);
    if (!noted.operation) return;
    record.description = text_in(noted.operation->to_json(), "description");
    if (!noted.operation->is_final()) return;
    auto end = end_of(*noted.operation);
    record.result = std::move(end.result);
    record.error = std::move(end.error);
    record.ended_at = end.ended_at;
}

}  // namespace

struct History::Impl : std::enable_shared_from_this<Impl> {
    explicit Impl(Services& all) : services(all), timer(all.io) {}

    Services& services;
    boost::asio::steady_timer timer;  ///< I/O thread only, as is `armed`
    bool armed = false;
    std::mutex writing;  ///< one flush at a time
    std::mutex mutex;    ///< guards what follows
    std::deque<Noted> waiting;
    std::vector<database::HistoryEnd> ends;
    std::size_t lost = 0;

    void arm() {
        if (std::exchange(armed, true)) return;
        timer.expires_after(kGathered);
        timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
            const auto self = weak.lock();
            if (error || !self) return;
            self->armed = false;
            self->services.workers.post([self] { (void)self->flush(); });
        });
    }

    void push(Noted noted) {
        const std::lock_guard lock(mutex);
        waiting.push_back(std::move(noted));
        if (waiting.size() <= kMostWaiting) return;
        waiting.pop_front();
        ++lost;
    }

    void push_end(database::HistoryEnd end) {
        {
            const std::lock_guard lock(mutex);
            ends.push_back(std::move(end));
        }
        boost::asio::post(services.io, [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->arm();
        });
    }

    /// Their records are written: from now on they may be changed.
    void follow(const std::deque<Noted>& written) {
        for (const auto& [record, requestor, reply, operation] : written) {
            if (!operation || record.result != "running") continue;
            operation->on_final([weak = weak_from_this(), of = std::weak_ptr(operation)] {
                const auto self = weak.lock();
                const auto ended = of.lock();
                if (self && ended) self->push_end(end_of(*ended));
            });
        }
    }

    Result<> flush() {
        const std::lock_guard one(writing);
        std::deque<Noted> noted;
        std::vector<database::HistoryEnd> ended;
        std::size_t dropped = 0;
        {
            const std::lock_guard lock(mutex);
            noted.swap(waiting);
            ended.swap(ends);
            dropped = std::exchange(lost, 0);
        }
        if (dropped > 0)
            log::error("requests are missing in the history", {{"count", std::to_string(dropped)}});
        if (noted.empty() && ended.empty()) return {};
        std::vector<database::HistoryRecord> records;
        for (auto& one_noted : noted) {
            complete(one_noted);
            records.push_back(one_noted.record);
        }
        auto written = services.database->history().add(records, ended);
        if (!written) {
            log::error("the history could not be written",
                       {{"error", written.error().message}, {"requests", std::to_string(records.size())}});
            return written;
        }
        follow(noted);
        return {};
    }
};

History::History(Services& services) : impl_(std::make_shared<Impl>(services)) {}

History::~History() { (void)flush(); }

void History::note(const Request& request, std::string_view method, const Response& response) {
    if (!is_kept(request, method, response)) return;
    Noted noted;
    auto& record = noted.record;
    const auto& identity = request.identity;
    const bool trusted = identity.who == auth::Who::local || identity.who == auth::Who::client;
    record.created_at = record.ended_at = now();
    record.known = trusted || response.http_status < 400;
    record.project = shortened(request.query_or("project", request.project), 64);
    record.method = shortened(std::string(method), 16);
    record.path = shown_path(request);
    record.http_status = response.upgraded ? 101 : response.http_status;
    record.result = word_for(record.http_status);
    if (trusted && !identity.fingerprint.empty()) {
        const auto known = impl_->services.database->certificates().find(identity.fingerprint);
        if (known) record.certificate = known->name;
    }
    noted.requestor_json = request.requestor_json;
    if (record.http_status >= 400) noted.reply = response.body;
    record.operation = operation_of(response);
    if (!record.operation.empty()) {
        noted.operation = impl_->services.operations.find(record.operation);
        record.result = noted.operation ? "running" : "interrupted";
        record.ended_at = {};
    }
    impl_->push(std::move(noted));
    impl_->arm();
}

Result<> History::flush() { return impl_->flush(); }

}  // namespace lxmgr::rest
