#pragma once
#include <dlfcn.h>

#include <memory>
#include <string_view>

namespace lxmgr {

/// A library that is loaded when it is needed and not linked: the daemon carries neither its memory nor the
/// start-up time of its relocations.
class SharedLibrary {
public:
    /// @param name  as the linker knows it, "libcurl.so.4"
    explicit SharedLibrary(const char* name) : handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}
    /// False: it is not there, why(). Then find() must not be called.
    explicit operator bool() const { return handle_ != nullptr; }
    static std::string_view why() {
        const char* const text = ::dlerror();  // NOLINT(concurrency-mt-unsafe): each thread has its own
        return text == nullptr ? "no reason given" : text;
    }
    template <typename Function>
    void find(const char* name, Function*& function) {
        function = reinterpret_cast<Function*>(::dlsym(handle_.get(), name));
        if (function == nullptr) missing_ = name;
    }
    /// One of those that find() did not find; null: it found all.
    [[nodiscard]] const char* missing() const { return missing_; }
    /// It stays as long as the process.
    void keep() { [[maybe_unused]] void* const kept = handle_.release(); }

private:
    struct Unload {
        void operator()(void* handle) const { ::dlclose(handle); }
    };
    std::unique_ptr<void, Unload> handle_;
    const char* missing_ = nullptr;
};

}  // namespace lxmgr
