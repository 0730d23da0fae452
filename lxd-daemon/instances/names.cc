#include "lxd-daemon/instances/names.h"

#include <array>
#include <random>
#include <string_view>

namespace lxmgr::instances {
namespace {

constexpr std::array<std::string_view, 24> kFirst{
    "amber", "bold", "brisk", "calm", "clear", "coral", "crisp", "early", "fair",  "fleet", "grand", "green",
    "jolly", "keen", "light", "mild", "neat",  "proud", "quick", "ready", "sharp", "solid", "vivid", "warm"};
constexpr std::array<std::string_view, 24> kSecond{"badger", "bison",  "crane", "dingo", "eagle", "finch",
                                                   "gecko",  "heron",  "ibis",  "jay",   "koala", "lemur",
                                                   "lynx",   "marten", "newt",  "otter", "panda", "quail",
                                                   "raven",  "seal",   "tapir", "viper", "wren",  "yak"};

}  // namespace

std::string random_name() {
    std::random_device source;
    const auto pick = [&](const auto& words) { return std::string(words[source() % words.size()]); };
    return pick(kFirst) + "-" + pick(kSecond) + "-" + std::to_string(source() % 10000);
}

}  // namespace lxmgr::instances
