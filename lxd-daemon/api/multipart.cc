#include "lxd-daemon/api/multipart.h"

#include "lxd-daemon/base/strings.h"

namespace lxmgr::api {
namespace {

constexpr std::size_t kMaxHeaderBytes = 8192;
constexpr int kMaxParts = 16;

std::unexpected<Error> bad_part(const char* what) { return fail(Status::bad_request, what); }

/// Reads a quoted string or a token from the front of `rest`.
std::string read_value(std::string_view& rest) {
    std::string value;
    if (!rest.starts_with('"')) {
        const auto end = std::min(rest.find(';'), rest.size());
        value = trim(rest.substr(0, end));
        rest.remove_prefix(end);
        return value;
    }
    for (rest.remove_prefix(1); !rest.empty() && rest.front() != '"'; rest.remove_prefix(1)) {
        if (rest.front() == '\\' && rest.size() > 1) rest.remove_prefix(1);
        value += rest.front();
    }
    if (!rest.empty()) rest.remove_prefix(1);
    return value;
}

}  // namespace

std::string header_parameter(std::string_view value, std::string_view name) {
    auto semicolon = value.find(';');
    while (semicolon != std::string_view::npos) {
        std::string_view rest = trim(value.substr(semicolon + 1));
        const auto equals = rest.find('=');
        if (equals == std::string_view::npos) return {};
        const bool wanted = to_lower(trim(rest.substr(0, equals))) == name;
        rest.remove_prefix(equals + 1);
        auto text = read_value(rest);
        if (wanted) return text;
        value = rest;
        semicolon = value.find(';');
    }
    return {};
}

Result<std::string> multipart_boundary(std::string_view content_type) {
    auto boundary = header_parameter(content_type, "boundary");
    // RFC 2046, section 5.1.1: 1 to 70 characters.
    if (boundary.empty() || boundary.size() > 70 || has_control_chars(boundary))
        return bad_part("Bad multipart boundary");
    return boundary;
}

MultipartParser::MultipartParser(const std::string& boundary, Sink sink)
    : delimiter_("\r\n--" + boundary), sink_(std::move(sink)) {}

Result<> MultipartParser::feed(std::string_view bytes) {
    if (state_ == State::epilogue) return {};
    held_.erase(0, at_);
    at_ = 0;
    held_ += bytes;
    for (;;) {
        LX_TRY_AS(const bool again, step());
        if (!again) return {};
    }
}

Result<> MultipartParser::finish() const {
    if (state_ != State::epilogue) return bad_part("The multipart body ends too early");
    return {};
}

/// False: more bytes are needed.
Result<bool> MultipartParser::step() {
    switch (state_) {
        case State::preamble:
        case State::body:
            return step_text();
        case State::delimiter_line:
            return step_delimiter_line();
        case State::headers:
            return step_headers();
        case State::epilogue:
            break;
    }
    at_ = held_.size();
    return false;
}

Result<bool> MultipartParser::step_text() {
    const std::string_view rest = std::string_view(held_).substr(at_);
    const auto found = rest.find(delimiter_);
    const bool ends = found != std::string_view::npos;
    const std::size_t keep = delimiter_.size() - 1;
    const std::size_t text = ends ? found : rest.size() > keep ? rest.size() - keep : 0;
    if (state_ == State::body) {
        if (text > 0) LX_TRY(sink_.data(rest.substr(0, text)));
        if (ends) LX_TRY(sink_.end());
    }
    at_ += ends ? found + delimiter_.size() : text;
    if (ends) state_ = State::delimiter_line;
    return ends;
}

Result<bool> MultipartParser::step_delimiter_line() {
    const std::string_view rest = std::string_view(held_).substr(at_);
    if (rest.size() < 2) return false;
    if (rest.starts_with("--")) {
        state_ = State::epilogue;
        return true;
    }
    if (!rest.starts_with("\r\n")) return bad_part("Bad multipart delimiter");
    // The line's CR LF stays: with it even an empty header block ends in CR LF CR LF.
    state_ = State::headers;
    return true;
}

Result<bool> MultipartParser::step_headers() {
    const std::string_view rest = std::string_view(held_).substr(at_);
    const auto end = rest.find("\r\n\r\n");
    if (end == std::string_view::npos) {
        if (rest.size() > kMaxHeaderBytes) return bad_part("The headers of a multipart part are too long");
        return false;
    }
    if (end > kMaxHeaderBytes) return bad_part("The headers of a multipart part are too long");
    if (++parts_ > kMaxParts) return bad_part("The multipart body has too many parts");
    std::string name;
    std::string filename;
    for (const auto& line : split(rest.substr(0, end), '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos || to_lower(trim(line.substr(0, colon))) != "content-disposition")
            continue;
        const auto value = trim(std::string_view(line).substr(colon + 1));
        name = header_parameter(value, "name");
        filename = header_parameter(value, "filename");
    }
    filename = filename.substr(filename.find_last_of("/\\") + 1);
    if (has_control_chars(name) || has_control_chars(filename))
        return bad_part("Bad name of a multipart part");
    at_ += end + 4;
    state_ = State::body;
    LX_TRY(sink_.begin(std::move(name), std::move(filename)));
    return true;
}

}  // namespace lxmgr::api
