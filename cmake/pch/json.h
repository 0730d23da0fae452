#pragma once
// Compiled once for every room of option PCH json: what most of their files include anyway. Each file still
// includes what it uses: a build with -DLXMGR_PCH=OFF checks that.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
