#include "images/web/web.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "images/web/address.h"
#include "images/web/curl.h"
#include "images/web/transfer.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

constexpr int kMaxRedirects = 10;
constexpr int kMaxResumes = 5;
constexpr long kConnectSeconds = 15;
constexpr long kStallSeconds = 30;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// What libcurl would find by itself, but known here: the addresses of a proxy are its own business.
std::string proxy_for(const WebAccess& access, const UrlParts& url) {
    const bool secure = url.scheme == "https";
    std::string proxy = secure ? access.proxy_https : access.proxy_http;
    std::string ignored = access.proxy_ignore_hosts;
    if (proxy.empty()) {
        proxy = environment(secure ? "https_proxy" : "http_proxy");
        if (proxy.empty() && secure) proxy = environment("HTTPS_PROXY");
        if (ignored.empty()) ignored = environment("no_proxy");
        if (ignored.empty()) ignored = environment("NO_PROXY");
    }
    return is_ignored_host(ignored, url.host) ? "" : proxy;
}

bool is_broken_connection(CURLcode code) {
    return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
           code == CURLE_SEND_ERROR;
}

}  // namespace

std::string shown_url(std::string_view url) {
    std::string out(url.substr(0, url.find_first_of("?#")).substr(0, 256));
    for (char& c : out) {
        if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    const auto host = out.find("://");
    const auto at = out.find('@');
    if (host != std::string::npos && at != std::string::npos && at < out.find('/', host + 3))
        out.erase(host + 3, at - host - 2);
    return out;
}

struct Web::Impl {
    const Curl& curl;
    WebAccess access;
    std::stop_token stop;
    std::string pin;
    CURL* easy = nullptr;
    CURLM* multi = nullptr;

    Impl(const Curl& library, WebAccess how, std::stop_token token)
        : curl(library), access(std::move(how)), stop(std::move(token)) {}
    Impl(Impl&&) = delete;
    ~Impl() {
        if (easy != nullptr) curl.easy_cleanup(easy);
        if (multi != nullptr) curl.multi_cleanup(multi);
    }

    Result<WebAnswer> send(const WebRequest& request);
    Result<> follow(Transfer& transfer, const UrlParts& first, std::string& url, int& redirects);
    Result<CURLcode> attempt(Transfer& transfer, const std::string& url);
    void set_up(Transfer& transfer, const std::string& url, const std::string& proxy);
    void set_up_upload(Transfer& transfer);
    void set_up_tls();
    Result<CURLcode> perform();
    std::unexpected<Error> failed(CURLcode code, const Transfer& transfer, const std::string& url) const;
};

void Web::Impl::set_up_tls() {
    curl.easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!pin.empty()) {
        curl.easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, pin.c_str());
        curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
        return;
    }
    curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    // The variables of OpenSSL's own programs, which the library does not read.
    if (const auto file = environment("SSL_CERT_FILE"); !file.empty())
        curl.easy_setopt(easy, CURLOPT_CAINFO, file.c_str());
    if (const auto directory = environment("SSL_CERT_DIR"); !directory.empty())
        curl.easy_setopt(easy, CURLOPT_CAPATH, directory.c_str());
}

void Web::Impl::set_up_upload(Transfer& transfer) {
    curl.easy_setopt(easy, CURLOPT_POST, 1L);
    curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(transfer.request().upload->size_bytes));
    curl.easy_setopt(easy, CURLOPT_READFUNCTION, &Transfer::give_body);
    curl.easy_setopt(easy, CURLOPT_READDATA, &transfer);
    curl.easy_setopt(easy, CURLOPT_SEEKFUNCTION, &Transfer::seek_body);
    curl.easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
}

void Web::Impl::set_up(Transfer& transfer, const std::string& url, const std::string& proxy) {
    const long stall = failpoint_fails("image-web-impatient") ? 3 : kStallSeconds;
    curl.easy_reset(easy);
    curl.easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, access.allow_http ? "https,http" : "https");
    curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl.easy_setopt(easy, CURLOPT_USERAGENT, "lxmgr/" LXMGR_VERSION);
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_PROXY, proxy.c_str());  // "": none, whatever the environment says
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, std::min(stall * 5, kConnectSeconds));
    curl.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, transfer.request().patient ? 0L : 1L);
    curl.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall);
    curl.easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);  // ends the patient wait for a peer that is gone
    curl.easy_setopt(easy, CURLOPT_NOBODY, transfer.request().head ? 1L : 0L);
    if (transfer.request().upload) set_up_upload(transfer);
    curl.easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers());
    transfer.allow_local = access.allow_local || !proxy.empty();
    curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Transfer::open_socket);
    curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
    curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::take_header);
    curl.easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::take_body);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    if (transfer.done() > 0) {  // CURLOPT_RESUME_FROM would refuse a server that does not resume
        const std::string rest = fmt::format("{}-", transfer.done());
        curl.easy_setopt(easy, CURLOPT_RANGE, rest.c_str());
    }
    set_up_tls();
}

Result<CURLcode> Web::Impl::perform() {
    const std::stop_callback wake(stop, [this] { curl.multi_wakeup(multi); });
    int running = 1;
    while (!stop.stop_requested()) {
        if (const auto code = curl.multi_perform(multi, &running); code != CURLM_OK)
            return fail(Status::internal, fmt::format("libcurl failed ({})", static_cast<int>(code)));
        if (running == 0) break;
        curl.multi_poll(multi, nullptr, 0, 1000, nullptr);
    }
    if (stop.stop_requested()) return fail(Status::unavailable, "Fetching the image was cancelled");
    int left = 0;
    while (const CURLMsg* message = curl.multi_info_read(multi, &left)) {
        if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    return fail(Status::internal, "libcurl ended without a result");
}

Result<CURLcode> Web::Impl::attempt(Transfer& transfer, const std::string& url) {
    LX_TRY_AS(const UrlParts parts, parse_url(url));
    if (parts.scheme != "https" && !access.allow_http)
        return fail(Status::bad_request,
                    fmt::format("'{}' is no https URL: images come by https only", shown_url(url)));
    const std::string proxy = proxy_for(access, parts);
    // Behind a proxy the address of the connection says nothing; the name still does.
    if (!proxy.empty() && !access.allow_local && is_local_name(parts.host))
        return fail(Status::forbidden, fmt::format("'{}' names a loopback or link-local address, where no "
                                                   "image may come from",
                                                   shown_url(url)));
    set_up(transfer, url, proxy);
    if (const auto code = curl.multi_add_handle(multi, easy); code != CURLM_OK)
        return fail(Status::internal, fmt::format("libcurl failed ({})", static_cast<int>(code)));
    auto outcome = perform();
    curl.multi_remove_handle(multi, easy);
    return outcome;
}

std::unexpected<Error> Web::Impl::failed(CURLcode code, const Transfer& transfer,
                                         const std::string& url) const {
    const std::string shown = shown_url(url);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fail(Status::internal,
                    fmt::format("'{}' stands still: nothing came for too long ({} bytes were there)", shown,
                                transfer.done()));
    if (is_broken_connection(code))
        return fail(Status::internal, fmt::format("'{}' broke off after {} bytes: {}", shown, transfer.done(),
                                                  curl.easy_strerror(code)));
    return fail(Status::internal, fmt::format("'{}' cannot be fetched: {}", shown, curl.easy_strerror(code)));
}

/// The answer was a redirect.
Result<> Web::Impl::follow(Transfer& transfer, const UrlParts& first, std::string& url, int& redirects) {
    const char* target = nullptr;
    curl.easy_getinfo(easy, CURLINFO_REDIRECT_URL, &target);
    const std::string from = shown_url(url);
    if (target == nullptr) return fail(Status::bad_request, fmt::format("'{}' redirects to nowhere", from));
    if (++redirects > kMaxRedirects)
        return fail(Status::bad_request, fmt::format("'{}' redirects too often", from));
    const std::string next = target;
    const auto parts = parse_url(next);
    if (!parts || parts->scheme != "https")
        return fail(Status::bad_request,
                    fmt::format("'{}' redirects to '{}', which is no https URL", from, shown_url(next)));
    if (parts->host != first.host) access.allow_local = false;
    transfer.begin_again();
    url = next;
    return {};
}

Result<WebAnswer> Web::Impl::send(const WebRequest& request) {
    LX_TRY_AS(const UrlParts first, parse_url(request.url));
    const bool local_allowed = access.allow_local;
    Transfer transfer(curl, easy, request);
    std::string url = request.url;
    int redirects = 0;
    int resumes = 0;
    const auto run = [&]() -> Result<WebAnswer> {
        for (;;) {
            const std::uint64_t before = transfer.done();
            LX_TRY_AS(const CURLcode code, attempt(transfer, url));
            if (transfer.error()) return std::unexpected(*transfer.error());
            if (transfer.is_redirect() && !request.any_status) {
                LX_TRY(follow(transfer, first, url, redirects));
                continue;
            }
            if (code == CURLE_OK) return transfer.answer(url);
            const bool again = !request.upload && is_broken_connection(code) && transfer.done() > before;
            if (!again || ++resumes > kMaxResumes) return failed(code, transfer, url);
            LX_TRY(transfer.resume());
        }
    };
    auto answer = run();
    access.allow_local = local_allowed;
    return answer;
}

Web::Web(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Web::Web(Web&&) noexcept = default;
Web::~Web() = default;

Result<Web> Web::open(WebAccess access, std::stop_token stop) {
    LX_TRY_AS(const Curl* curl, load_curl());
    auto impl = std::make_unique<Impl>(*curl, std::move(access), std::move(stop));
    if (!impl->access.pinned_certificate.empty()) {
        LX_TRY_AS(impl->pin, public_key_pin(impl->access.pinned_certificate));
    }
    impl->easy = curl->easy_init();
    impl->multi = curl->multi_init();
    if (impl->easy == nullptr || impl->multi == nullptr)
        return fail(Status::internal, "libcurl cannot begin");
    return Web(std::move(impl));
}

Result<WebAnswer> Web::send(const WebRequest& request) { return impl_->send(request); }

void collect(WebRequest& request, std::string& text) {
    request.sink = [&text](std::string_view bytes) -> Result<> {
        text += bytes;
        return {};
    };
    request.restart = [&text]() -> Result<> {
        text.clear();
        return {};
    };
}

Result<std::string> Web::get_text(const std::string& url, std::uint64_t max_bytes) {
    std::string text;
    WebRequest request{.url = url, .max_bytes = max_bytes};
    collect(request, text);
    LX_TRY(send(request));
    return text;
}

}  // namespace lxmgr::images
