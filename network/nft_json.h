#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

/// Private to the room: pieces of rules in the words of libnftables-json(5).
namespace lxmgr::network::nft {

using Json = nlohmann::json;

inline Json match(Json left, Json right, const char* op = "==") {
    return {{"match", {{"op", op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
inline Json meta(const char* key) { return {{"meta", {{"key", key}}}}; }
inline Json payload(const char* protocol, const char* field) {
    return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
inline Json set_of(Json values) { return {{"set", std::move(values)}}; }
inline Json prefix_of(const std::string& network, int length) {
    return {{"prefix", {{"addr", network}, {"len", length}}}};
}
inline Json range_of(Json first, Json last) {
    return {{"range", Json::array({std::move(first), std::move(last)})}};
}
inline Json verdict(const char* word) { return {{word, nullptr}}; }
inline Json jump_to(const std::string& chain) { return {{"jump", {{"target", chain}}}}; }
inline Json ct_state(Json states) { return match(Json{{"ct", {{"key", "state"}}}}, std::move(states), "in"); }

}  // namespace lxmgr::network::nft
