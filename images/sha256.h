#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

struct evp_md_ctx_st;

namespace lxmgr::images {

class Sha256 {
public:
    static Result<Sha256> open();
    Result<> add(std::string_view bytes);
    /// As if nothing had been added.
    Result<> restart();
    /// 64 lower-case hex digits. Nothing may be added after it.
    Result<std::string> finish();

private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const;
    };
    Sha256() = default;
    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// True for 64 lower-case hex digits.
bool is_sha256(std::string_view text);

}  // namespace lxmgr::images
