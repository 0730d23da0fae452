#pragma once
#include <optional>
#include <string>

#include "images/web/curl.h"
#include "images/web/web.h"

/// Private to the folder: one request while it goes on, with what libcurl calls back.
namespace lxmgr::images {

class Transfer {
public:
    Transfer(const Curl& curl, CURL* easy, const WebRequest& request);
    Transfer(Transfer&&) = delete;
    ~Transfer() { curl_.slist_free_all(headers_); }

    [[nodiscard]] const WebRequest& request() const { return request_; }
    [[nodiscard]] curl_slist* headers() const { return headers_; }
    [[nodiscard]] std::uint64_t done() const { return done_; }
    [[nodiscard]] const std::optional<Error>& error() const { return error_; }
    [[nodiscard]] bool is_redirect() const { return status_ >= 300 && status_ < 400 && status_ != 304; }
    /// The next answer is another one's.
    void begin_again();
    /// The next answer is to go on where this one broke off.
    Result<> resume();
    /// After it has ended well.
    Result<WebAnswer> answer(const std::string& url);

    bool allow_local = false;

    static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address) noexcept;
    static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t give_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static int seek_body(void* self, curl_off_t offset, int origin) noexcept;

private:
    void add_header(std::string_view line);
    Result<> begin_body();
    Result<> add_body(std::string_view bytes);
    Result<> check_status(const std::string& url) const;

    const Curl& curl_;
    CURL* easy_;
    const WebRequest& request_;
    curl_slist* headers_ = nullptr;
    std::map<std::string, std::string> answered_;
    std::size_t header_bytes_ = 0;
    long status_ = 0;
    bool in_body_ = false;
    std::uint64_t done_ = 0;   ///< bytes that the sink got
    std::uint64_t total_ = 0;  ///< 0: not known
    std::uint64_t given_ = 0;  ///< bytes of the upload
    std::optional<Error> error_;
};

}  // namespace lxmgr::images
