#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

/// Structured log lines: a constant message and values as fields, never secrets. Thread-safe.
/// error = the daemon failed; warn = odd but served; info = lifecycle; debug = free.
namespace lxmgr::log {

enum class Level { debug, info, warn, error };
using Field = std::pair<std::string_view, std::string>;
using Fields = std::initializer_list<Field>;

/// Called for every line at or above the level, after it was written; used for `logging` events.
/// One sink at a time; it must be thread-safe and must not log.
using Sink = void (*)(Level level, std::string_view message, const Field* fields, std::size_t count,
                      void* context);

/// Starts logging to stderr, and to `file` too unless it is empty. Call once, before threads start.
void open(Level level, const std::string& file);
void set_sink(Sink sink, void* context);

void write(Level level, std::string_view message, Fields fields);
inline void debug(std::string_view message, Fields fields = {}) { write(Level::debug, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::info, message, fields); }
inline void warn(std::string_view message, Fields fields = {}) { write(Level::warn, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(Level::error, message, fields); }

}  // namespace lxmgr::log
