#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// Takes a multipart/form-data body (RFC 7578) apart as it arrives, holding back only what could be a
/// delimiter.
class MultipartParser {
public:
    struct Sink {
        /// A part begins; `filename` is empty when the part has none.
        std::function<Result<>(std::string name, std::string filename)> begin;
        std::function<Result<>(std::string_view bytes)> data;
        std::function<Result<>()> end;
    };
    MultipartParser(const std::string& boundary, Sink sink);
    /// Errors: `bad_request` for what is not multipart, or what a member of the sink returns. Do not go on
    /// after one.
    Result<> feed(std::string_view bytes);
    /// To be called at the body's end. Errors: `bad_request` when the last delimiter has not come.
    Result<> finish() const;

private:
    enum class State { preamble, delimiter_line, headers, body, epilogue };
    Result<bool> step();
    Result<bool> step_text();
    Result<bool> step_delimiter_line();
    Result<bool> step_headers();

    std::string delimiter_;  ///< CR LF "--" boundary
    Sink sink_;
    State state_ = State::preamble;
    std::string held_ = "\r\n";  ///< so that a delimiter at the very start is one like all others
    std::size_t at_ = 0;
    int parts_ = 0;
};

/// The boundary parameter of a Content-Type. Errors: `bad_request`.
Result<std::string> multipart_boundary(std::string_view content_type);
/// One parameter of a header value: header_parameter("form-data; name=\"a\"", "name") is "a"; empty when
/// absent.
std::string header_parameter(std::string_view value, std::string_view name);

}  // namespace lxmgr::api
