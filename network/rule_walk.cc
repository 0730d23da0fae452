#include "network/rule_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "network/nft_table.h"

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 16;  // NFT_JUMP_STACK_SIZE

std::string string_in(const Json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

enum class Truth { no, yes, unknown };
enum class Verdict { pass, accept, drop, back };

/// "veth*" of nft, "veth+" of iptables.
bool same_name(std::string_view pattern, std::string_view name) {
    if (pattern.ends_with('*') || pattern.ends_with('+'))
        return name.starts_with(pattern.substr(0, pattern.size() - 1));
    return pattern == name;
}

/// Whether the value is the one on the right, or in the set there.
Truth is_in(const Json& right, const std::string& value) {
    if (value.empty()) return Truth::unknown;
    if (right.is_string()) return same_name(right.get<std::string>(), value) ? Truth::yes : Truth::no;
    if (right.is_number_integer()) return std::to_string(right.get<long>()) == value ? Truth::yes : Truth::no;
    const Json* members = right.is_array() ? &right : nullptr;
    if (right.is_object() && right.contains("set") && right["set"].is_array()) members = &right["set"];
    if (members == nullptr) return Truth::unknown;
    Truth out = Truth::no;
    for (const Json& member : *members) {
        const Truth one = is_in(member, value);
        if (one == Truth::yes) return Truth::yes;
        if (one == Truth::unknown) out = Truth::unknown;
    }
    return out;
}

class Walker {
public:
    Walker(const Json& ruleset, const ThoughtPacket& packet) : packet_(packet) {
        for (const Json& entry : ruleset) {
            if (entry.contains("chain")) chains_.push_back(&entry["chain"]);
            if (entry.contains("rule")) {
                const Json& rule = entry["rule"];
                rules_[key_of(string_in(rule, "family"), string_in(rule, "table"), string_in(rule, "chain"))]
                    .push_back(&rule);
            }
        }
    }

    std::optional<std::string> walk() {
        for (const Json* chain : chains_) {
            const std::string family = string_in(*chain, "family");
            const bool concerns = family == "inet" || family == (packet_.ipv6 ? "ip6" : "ip");
            if (!concerns || string_in(*chain, "hook") != packet_.hook ||
                string_in(*chain, "type") != "filter")
                continue;
            if (string_in(*chain, "table") == kTable) continue;
            culprit_.clear();
            const Verdict verdict = run(family, string_in(*chain, "table"), string_in(*chain, "name"), 0);
            if (verdict == Verdict::drop) return culprit_;
            const bool falls = verdict != Verdict::accept && string_in(*chain, "policy") == "drop";
            if (falls) {
                return fmt::format("table {} {}, chain {}: policy drop", family, string_in(*chain, "table"),
                                   string_in(*chain, "name"));
            }
        }
        return std::nullopt;
    }

private:
    static std::string key_of(const std::string& family, const std::string& table, const std::string& chain) {
        return family + '\0' + table + '\0' + chain;
    }

    Verdict run(const std::string& family, const std::string& table, const std::string& chain, int depth) {
        if (depth > kMaxDepth) return Verdict::pass;
        for (const Json* rule : rules_[key_of(family, table, chain)]) {
            const Verdict verdict = apply(*rule, family, table, depth);
            if (verdict == Verdict::back) return Verdict::pass;
            if (verdict != Verdict::pass) {
                if (verdict == Verdict::drop && culprit_.empty()) {
                    culprit_ = fmt::format("table {} {}, chain {}, rule {}", family, table, chain,
                                           rule->contains("handle") ? (*rule)["handle"].dump() : "");
                }
                return verdict;
            }
        }
        return Verdict::pass;
    }

    Verdict apply(const Json& rule, const std::string& family, const std::string& table, int depth) {
        if (!rule.contains("expr") || !rule["expr"].is_array()) return Verdict::pass;
        for (const Json& step : rule["expr"]) {
            if (!step.is_object() || step.empty()) return Verdict::pass;
            const std::string kind = step.begin().key();
            if (kind == "match") {
                if (test(step["match"]) != Truth::yes) return Verdict::pass;
            } else if (kind == "accept") {
                return Verdict::accept;
            } else if (kind == "drop" || kind == "reject") {
                return Verdict::drop;
            } else if (kind == "return") {
                return Verdict::back;
            } else if (kind == "jump" || kind == "goto") {
                const Verdict verdict =
                    run(family, table, string_in(step.begin().value(), "target"), depth + 1);
                if (verdict != Verdict::pass) return verdict;
                if (kind == "goto") return Verdict::back;
            } else if (kind != "counter" && kind != "log" && kind != "comment") {
                return Verdict::pass;  // a condition that is not understood
            }
        }
        return Verdict::pass;
    }

    /// The packet is the first of its connection.
    [[nodiscard]] std::string value_of(const Json& left) const {
        if (left.contains("meta")) {
            const std::string key = string_in(left["meta"], "key");
            if (key == "iifname" || key == "iif") return packet_.iifname;
            if (key == "oifname" || key == "oif") return packet_.oifname;
            if (key == "nfproto") return packet_.ipv6 ? "ipv6" : "ipv4";
            if (key == "l4proto") return packet_.protocol;
        }
        if (left.contains("ct") && string_in(left["ct"], "key") == "state") return "new";
        if (left.contains("payload")) {
            const std::string field = string_in(left["payload"], "field");
            const std::string protocol = string_in(left["payload"], "protocol");
            if (field == "protocol" || field == "nexthdr") return packet_.protocol;
            if (field == "dport" && protocol != packet_.protocol && protocol != "th") return "none";
            if (field == "dport" && packet_.destination_port != 0)
                return std::to_string(packet_.destination_port);
        }
        return {};
    }

    [[nodiscard]] Truth test(const Json& match) const {
        if (!match.contains("left") || !match.contains("right") || !match["left"].is_object())
            return Truth::unknown;
        const Truth found = is_in(match["right"], value_of(match["left"]));
        const std::string op = string_in(match, "op");
        if (found == Truth::unknown || (op != "!=" && op != "==" && op != "in")) return Truth::unknown;
        if (op == "!=") return found == Truth::yes ? Truth::no : Truth::yes;
        return found;
    }

    const ThoughtPacket& packet_;
    std::vector<const Json*> chains_;
    std::map<std::string, std::vector<const Json*>> rules_;
    std::string culprit_;
};

}  // namespace

std::optional<std::string> find_dropper(const Json& ruleset, const ThoughtPacket& packet) {
    if (!ruleset.is_array()) return std::nullopt;
    return Walker(ruleset, packet).walk();
}

}  // namespace lxmgr::network
