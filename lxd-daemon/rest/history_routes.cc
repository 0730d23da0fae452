#include <algorithm>
#include <limits>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/history.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

// Ours, announced as lxmgr_history: who changed what. See docs/how-to/watch-a-server.md.
namespace lxmgr::rest {
namespace {

using nlohmann::json;

constexpr std::int64_t kNewest = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kUsualLimit = 1000;
constexpr std::uint64_t kHighestLimit = 10'000;
constexpr std::size_t kPage = 500;

json history_json(const database::HistoryRecord& record) {
    return {{"id", record.id},
            {"created_at", to_rfc3339(record.created_at)},
            {"ended_at", to_rfc3339(record.ended_at)},
            {"requestor",
             {{"username", record.username},
              {"protocol", record.protocol},
              {"address", record.address},
              {"certificate", record.certificate}}},
            {"project", record.project},
            {"method", record.method},
            {"path", record.path},
            {"status_code", record.http_status},
            {"result", record.result},
            {"error", record.error},
            {"operation", record.operation.empty() ? "" : "/1.0/operations/" + record.operation},
            {"description", record.description}};
}

struct Wanted {
    std::int64_t before = kNewest;
    std::size_t count = kUsualLimit;
    std::string filter;
};

Result<Wanted> parse_wanted(const Request& request) {
    Wanted out;
    out.filter = request.query_or("filter", "");
    if (!out.filter.empty())
        LX_TRY(apply_filter(out.filter, json::array()));  // also when there is nothing to filter
    const auto limit = parse_uint(request.query_or("limit", std::to_string(kUsualLimit)));
    if (!limit || *limit < 1 || *limit > kHighestLimit)
        return fail(Status::bad_request, "The limit must be a number from 1 to 10000");
    out.count = *limit;
    const auto before = parse_int(request.query_or("before", std::to_string(kNewest)));
    if (!before || *before < 1) return fail(Status::bad_request, "'before' must be the id of a record");
    out.before = *before;
    return out;
}

/// The newest that are wanted, the oldest of them first. Page by page: only what is shown is held.
Result<json> read_wanted(const database::History& history, const Wanted& wanted) {
    json found = json::array();
    for (auto before = wanted.before; found.size() < wanted.count;) {
        const std::size_t size = wanted.filter.empty() ? std::min(kPage, wanted.count - found.size()) : kPage;
        LX_TRY_AS(const auto records, history.read(before, size));
        if (records.empty()) break;
        before = records.back().id;
        json page = json::array();
        for (const auto& record : records) page.push_back(history_json(record));
        if (!wanted.filter.empty()) {
            LX_TRY_AS(page, apply_filter(wanted.filter, std::move(page)));
        }
        for (auto& one : page) {
            if (found.size() < wanted.count) found.push_back(std::move(one));
        }
    }
    std::ranges::reverse(found.get_ref<json::array_t&>());
    return found;
}

Handled history_list(const Request& request, Services& services) {
    LX_CO_TRY_AS(const Wanted wanted, parse_wanted(request));
    auto read = [&services, wanted]() -> Result<json> {
        LX_TRY(services.history->flush());
        return read_wanted(services.database->history(), wanted);
    };
    auto reading = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const json found, co_await std::move(reading));
    if (request.recursion() > 0) co_return Response::sync(found);
    json urls = json::array();
    for (const auto& one : found) {
        urls.push_back("/1.0/lxmgr/history/" + std::to_string(one["id"].get<std::int64_t>()));
    }
    co_return Response::sync(urls);
}

Handled history_one(const Request& request, Services& services) {
    const auto id = parse_int(request.path_arg("id"));
    if (!id || *id < 1 || *id == kNewest) co_return fail(Status::not_found, "History record not found");
    auto read = [&services, number = *id]() -> Result<json> {
        LX_TRY(services.history->flush());
        LX_TRY_AS(const auto records, services.database->history().read(number + 1, 1));
        if (records.empty() || records.front().id != number)
            return fail(Status::not_found, "History record not found");
        return history_json(records.front());
    };
    auto reading = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const json found, co_await std::move(reading));
    co_return Response::sync(found);
}

constexpr Route kHistoryRoutes[] = {
    {Verb::get, "/1.0/lxmgr/history", Access::admin, history_list},
    {Verb::get, "/1.0/lxmgr/history/{id}", Access::admin, history_one},
};

}  // namespace

std::span<const Route> history_routes() { return kHistoryRoutes; }

}  // namespace lxmgr::rest
