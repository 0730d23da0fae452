#include "network/nft_table.h"

#include <algorithm>

#include "network/nftables.h"

namespace lxmgr::network {

using Json = nlohmann::json;

void Transaction::add(const char* verb, Json object) { commands_.push_back(Json{{verb, std::move(object)}}); }

void Transaction::remove_chain(const std::string& name) {
    for (const char* verb : {"add", "flush", "delete"}) add(verb, {{"chain", chain_identity(name)}});
}

void Transaction::add_table() { add("add", {{"table", {{"family", "inet"}, {"name", kTable}}}}); }

Result<> Transaction::run(const std::string& doing) const {
    auto done = run_nftables(Json{{"nftables", commands_}}.dump());
    if (!done) return std::unexpected(in(doing, std::move(done).error()));
    return {};
}

Json chain_identity(const std::string& name) {
    return {{"family", "inet"}, {"table", kTable}, {"name", name}};
}

Json held_entries(const char* family) {
    const Json list{{"list", {{"table", {{"family", family}, {"name", kTable}}}}}};
    const auto output = run_nftables(Json{{"nftables", Json::array({list})}}.dump());
    Json answer = output ? Json::parse(*output, nullptr, false) : Json();
    if (!answer.is_object() || !answer.contains("nftables") || !answer["nftables"].is_array())
        return Json::array();
    return std::move(answer["nftables"]);
}

Result<> remove_table_if_empty(const char* family) {
    const Json entries = held_entries(family);
    const bool has_chains =
        std::ranges::any_of(entries, [](const Json& entry) { return entry.contains("chain"); });
    if (entries.empty() || has_chains) return {};
    Transaction last;
    last.add("delete", {{"table", {{"family", family}, {"name", kTable}}}});
    return last.run("Removing the firewall table");
}

std::mutex& table_mutex() {
    static std::mutex mutex;
    return mutex;
}

}  // namespace lxmgr::network
