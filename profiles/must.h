#pragma once
#include <expected>
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles::check {

/// What a check answers to a bad value; who asked puts the key and the value before it.
inline std::unexpected<Error> must(std::string what) {
    return fail(Status::bad_request, "must be " + std::move(what));
}

}  // namespace lxmgr::profiles::check
