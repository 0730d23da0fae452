#include "lxd-daemon/base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <vector>

namespace lxmgr::log {
namespace {

struct SinkSlot {
    Sink sink;
    void* context;
};
std::atomic<const SinkSlot*> g_sink{nullptr};
std::atomic<Level> g_level{Level::info};

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
        case Level::debug:
            return spdlog::level::debug;
        case Level::info:
            return spdlog::level::info;
        case Level::warn:
            return spdlog::level::warn;
        case Level::error:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

/// A value is quoted when it could be mistaken for more than one word; control characters never reach the log
/// raw.
void append_value(std::string& line, std::string_view value) {
    const bool plain = !value.empty() && value.find_first_of(" \"=\\") == std::string_view::npos;
    if (!plain) line += '"';
    for (const char c : value) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            if (c == '"' || c == '\\') line += '\\';
            line += c;
        }
    }
    if (!plain) line += '"';
}

}  // namespace

void open(Level level, const std::string& file) {
    std::vector<spdlog::sink_ptr> sinks{std::make_shared<spdlog::sinks::stderr_sink_mt>()};
    if (!file.empty()) sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(file));
    auto logger = std::make_shared<spdlog::logger>("lxmgr", sinks.begin(), sinks.end());
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    logger->set_level(to_spdlog(level));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
    g_level = level;
}

void set_sink(Sink sink, void* context) {
    // Leaked on purpose: a writer on another thread may still hold the old slot.
    g_sink = sink != nullptr ? new SinkSlot{sink, context} : nullptr;
}

void write(Level level, std::string_view message, Fields fields) {
    if (level < g_level.load(std::memory_order_relaxed)) return;
    std::string line(message);
    for (const auto& [key, value] : fields) {
        line += ' ';
        line += key;
        line += '=';
        append_value(line, value);
    }
    spdlog::default_logger_raw()->log(to_spdlog(level), line);
    if (const SinkSlot* slot = g_sink.load(std::memory_order_acquire); slot != nullptr) {
        slot->sink(level, message, fields.begin(), fields.size(), slot->context);
    }
}

}  // namespace lxmgr::log
