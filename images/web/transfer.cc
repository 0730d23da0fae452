#include "images/web/transfer.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "images/web/address.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

constexpr std::size_t kMaxHeaderBytes = std::size_t{64} << 10;

}  // namespace

Transfer::Transfer(const Curl& curl, CURL* easy, const WebRequest& request)
    : curl_(curl), easy_(easy), request_(request) {
    for (const auto& line : request.headers) headers_ = curl_.slist_append(headers_, line.c_str());
    if (!request.upload) return;
    const std::string type = "Content-Type: " + request.upload->content_type;
    headers_ = curl_.slist_append(headers_, type.c_str());
}

void Transfer::begin_again() {
    answered_.clear();
    status_ = 0;
    in_body_ = false;
    header_bytes_ = 0;
}

Result<> Transfer::resume() {
    // Only an answer whose length is known can be known to be a part.
    if (total_ == 0 && done_ > 0) {
        if (request_.restart) LX_TRY(request_.restart());
        done_ = 0;
    }
    begin_again();
    return {};
}

curl_socket_t Transfer::open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    if (!transfer.allow_local && is_local_address(&address->addr)) {
        transfer.error_ =
            Error{Status::forbidden,
                  fmt::format("'{}' leads to a loopback or link-local address, where no image may come from",
                              shown_url(transfer.request_.url)),
                  0};
        return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void Transfer::add_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // of the last answer; a proxy's and 1xx ones came before
        answered_.clear();
        return;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    answered_[to_lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
}

std::size_t Transfer::take_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::string_view line(bytes, size * count);
    transfer.header_bytes_ += line.size();
    if (transfer.header_bytes_ > kMaxHeaderBytes) {
        transfer.error_ =
            Error{Status::bad_request,
                  fmt::format("'{}' sends too long headers", shown_url(transfer.request_.url)), 0};
        return 0;
    }
    transfer.add_header(line);
    transfer.curl_.easy_getinfo(transfer.easy_, CURLINFO_RESPONSE_CODE, &transfer.status_);
    return line.size();
}

/// What the headers say, before the first byte of the body.
Result<> Transfer::begin_body() {
    in_body_ = true;
    if (done_ > 0 && status_ == 200) {  // it does not resume
        if (request_.restart) LX_TRY(request_.restart());
        done_ = 0;
    }
    const auto range = answered_.find("content-range");
    if (status_ == 206 &&
        (range == answered_.end() || !range->second.starts_with(fmt::format("bytes {}-", done_)))) {
        return fail(Status::bad_request,
                    fmt::format("'{}' answers with another part than asked for", shown_url(request_.url)));
    }
    const auto length = answered_.find("content-length");
    const auto bytes = length == answered_.end() ? std::nullopt : parse_uint(length->second);
    total_ = bytes ? done_ + *bytes : 0;
    if (total_ > request_.max_bytes) {
        return fail(Status::bad_request, fmt::format("'{}' is of {} bytes, where at most {} are expected",
                                                     shown_url(request_.url), total_, request_.max_bytes));
    }
    if (request_.begin && done_ == 0) request_.begin(answered_);
    return {};
}

Result<> Transfer::add_body(std::string_view bytes) {
    if (status_ != 200 && status_ != 206 && !request_.any_status) return {};  // of an error or a redirect
    if (!in_body_) LX_TRY(begin_body());
    if (bytes.size() > request_.max_bytes - done_) {
        return fail(Status::bad_request, fmt::format("'{}' sends more than the {} bytes that are expected",
                                                     shown_url(request_.url), request_.max_bytes));
    }
    if (request_.sink) LX_TRY(request_.sink(bytes));
    done_ += bytes.size();
    if (request_.progress && !request_.upload) request_.progress(done_, total_);
    return {};
}

std::size_t Transfer::give_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    const WebUpload& upload = *transfer.request_.upload;
    const std::size_t wanted = std::min<std::uint64_t>(size * count, upload.size_bytes - transfer.given_);
    auto got = read_pieces(*upload.pieces, transfer.given_, {bytes, wanted});
    if (!got) {
        transfer.error_ =
            in(fmt::format("Sending to '{}'", shown_url(transfer.request_.url)), std::move(got).error());
        return CURL_READFUNC_ABORT;
    }
    transfer.given_ += *got;
    if (transfer.request_.progress) transfer.request_.progress(transfer.given_, upload.size_bytes);
    return *got;
}

int Transfer::seek_body(void* self, curl_off_t offset, int origin) noexcept {
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    static_cast<Transfer*>(self)->given_ = static_cast<std::uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
}

std::size_t Transfer::take_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    if (auto added = transfer.add_body({bytes, size * count}); !added) {
        transfer.error_ = std::move(added).error();
        return 0;
    }
    return size * count;
}

Result<> Transfer::check_status(const std::string& url) const {
    if (status_ == 200 || status_ == 206 || request_.any_status) return {};
    const bool absent = status_ == 404 || status_ == 410;
    return fail(absent ? Status::not_found : Status::bad_request,
                fmt::format("'{}' answers with HTTP status {}", shown_url(url), status_));
}

Result<WebAnswer> Transfer::answer(const std::string& url) {
    LX_TRY(check_status(url));
    if (!in_body_ && !request_.head) LX_TRY(begin_body());  // an empty one
    return WebAnswer{status_, std::move(answered_), done_};
}

}  // namespace lxmgr::images
