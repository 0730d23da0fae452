#pragma once
#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace lxmgr {

/// What the client is told: the value is the HTTP status and LXD's `error_code`.
enum class Status {
    bad_request = 400,
    forbidden = 403,
    not_found = 404,
    conflict = 409,
    precondition_failed = 412,
    too_large = 413,
    internal = 500,
    not_implemented = 501,
    unavailable = 503,
};

struct Error {
    Status status = Status::internal;
    std::string message;  ///< one sentence, no full stop, names the object; shown to the client
    int sys_errno = 0;    ///< 0 when no system call failed
};

/// A value or an Error. `[[nodiscard]]` is why this is a class: GCC 12's std::expected is not.
template <typename T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
public:
    using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(Status status, std::string message) {
    return std::unexpected(Error{status, std::move(message), 0});
}

/// "<call> <subject>: <strerror>" with status internal; reads errno before anything else.
std::unexpected<Error> fail_errno(std::string_view call, std::string_view subject);

/// Adds context, outermost first: "Creating pool 'a': <message>".
Error in(std::string_view doing, Error error);

}  // namespace lxmgr

// Two statements, not a ({...}) expression: GCC 12.2 crashes on those inside coroutines.
#define LX_CAT2_(a, b) a##b
#define LX_CAT_(a, b) LX_CAT2_(a, b)
#define LX_FAIL_IF_(ret, r) \
    if (!(r)) ret std::unexpected(std::move(r).error())
#define LX_AS_(ret, tmp, decl, expr) \
    auto tmp = (expr);               \
    LX_FAIL_IF_(ret, tmp);           \
    decl = *std::move(tmp)
/// Evaluates a Result expression; on failure returns its error from the enclosing function.
#define LX_TRY(expr)             \
    do {                         \
        auto r_ = (expr);        \
        LX_FAIL_IF_(return, r_); \
    } while (0)
/// As LX_TRY, and on success initialises `decl` with the value.
#define LX_TRY_AS(decl, expr) LX_AS_(return, LX_CAT_(try_, __COUNTER__), decl, expr)
/// The same two for coroutines.
#define LX_CO_TRY(expr)             \
    do {                            \
        auto r_ = (expr);           \
        LX_FAIL_IF_(co_return, r_); \
    } while (0)
#define LX_CO_TRY_AS(decl, expr) LX_AS_(co_return, LX_CAT_(try_, __COUNTER__), decl, expr)
