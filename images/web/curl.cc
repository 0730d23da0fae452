#include "images/web/curl.h"

#include <dlfcn.h>
#include <fmt/format.h>

// curl/typecheck-gcc.h makes macros of these.
#undef curl_easy_setopt
#undef curl_easy_getinfo

namespace lxmgr::images {
namespace {

constexpr const char* kLibrary = "libcurl.so.4";

class Loader {
public:
    explicit Loader(void* library) : library_(library) {}
    template <typename Function>
    void find(const char* name, Function& function) {
        function = reinterpret_cast<Function>(::dlsym(library_, name));
        if (function == nullptr) missing_ = name;
    }
    [[nodiscard]] const char* missing() const { return missing_; }

private:
    void* library_;
    const char* missing_ = nullptr;
};

Result<Curl> load() {
    void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return fail(Status::not_found,
                    fmt::format("{} is missing: images cannot be fetched without it", kLibrary));
    }
    Curl out{};
    Loader loader(library);
    decltype(&::curl_global_init) global_init = nullptr;
    loader.find("curl_global_init", global_init);
    loader.find("curl_easy_init", out.easy_init);
    loader.find("curl_easy_cleanup", out.easy_cleanup);
    loader.find("curl_easy_reset", out.easy_reset);
    loader.find("curl_easy_setopt", out.easy_setopt);
    loader.find("curl_easy_getinfo", out.easy_getinfo);
    loader.find("curl_easy_strerror", out.easy_strerror);
    loader.find("curl_multi_init", out.multi_init);
    loader.find("curl_multi_cleanup", out.multi_cleanup);
    loader.find("curl_multi_add_handle", out.multi_add_handle);
    loader.find("curl_multi_remove_handle", out.multi_remove_handle);
    loader.find("curl_multi_perform", out.multi_perform);
    loader.find("curl_multi_poll", out.multi_poll);
    loader.find("curl_multi_wakeup", out.multi_wakeup);
    loader.find("curl_multi_info_read", out.multi_info_read);
    loader.find("curl_slist_append", out.slist_append);
    loader.find("curl_slist_free_all", out.slist_free_all);
    if (loader.missing() != nullptr)
        return fail(Status::internal, fmt::format("{} has no {}", kLibrary, loader.missing()));
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
