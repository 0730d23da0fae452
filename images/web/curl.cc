#include "images/web/curl.h"

#include <fmt/format.h>

#include "lxd-daemon/base/shared_library.h"

// curl/typecheck-gcc.h makes macros of these.
#undef curl_easy_setopt
#undef curl_easy_getinfo

namespace lxmgr::images {
namespace {

constexpr const char* kLibrary = "libcurl.so.4";

Result<Curl> load() {
    SharedLibrary library(kLibrary);
    if (!library) {
        return fail(Status::not_found,
                    fmt::format("{} is missing: images cannot be fetched without it", kLibrary));
    }
    Curl out{};
    decltype(&::curl_global_init) global_init = nullptr;
    library.find("curl_global_init", global_init);
    library.find("curl_easy_init", out.easy_init);
    library.find("curl_easy_cleanup", out.easy_cleanup);
    library.find("curl_easy_reset", out.easy_reset);
    library.find("curl_easy_setopt", out.easy_setopt);
    library.find("curl_easy_getinfo", out.easy_getinfo);
    library.find("curl_easy_strerror", out.easy_strerror);
    library.find("curl_multi_init", out.multi_init);
    library.find("curl_multi_cleanup", out.multi_cleanup);
    library.find("curl_multi_add_handle", out.multi_add_handle);
    library.find("curl_multi_remove_handle", out.multi_remove_handle);
    library.find("curl_multi_perform", out.multi_perform);
    library.find("curl_multi_poll", out.multi_poll);
    library.find("curl_multi_wakeup", out.multi_wakeup);
    library.find("curl_multi_info_read", out.multi_info_read);
    library.find("curl_slist_append", out.slist_append);
    library.find("curl_slist_free_all", out.slist_free_all);
    if (library.missing() != nullptr)
        return fail(Status::internal, fmt::format("{} has no {}", kLibrary, library.missing()));
    library.keep();
    if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return fail(Status::internal, "libcurl cannot begin");
    return out;
}

}  // namespace

Result<const Curl*> load_curl() {
    static const Result<Curl> loaded = load();
    if (!loaded) return std::unexpected(loaded.error());
    return &*loaded;
}

}  // namespace lxmgr::images
