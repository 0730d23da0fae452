#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// What a template of an image sees.
struct TemplateInput {
    /// By name: "trigger", "path", "instance" and "container" (maps of text), "config", "devices",
    /// "properties".
    nlohmann::json variables = nlohmann::json::object();
    /// For config_get("key", "otherwise").
    const api::ConfigMap* config = nullptr;
};

/// Renders the Django dialect that LXD's image templates are written in (LXD documentation, "Image format"):
/// {{ expression|filter:argument }}, if/elif/else, for, set, with, comment, autoescape off. Nothing is
/// escaped. It reaches no file: include, extends, import and ssi are errors. Work and output are bounded (1
/// MiB), so that an image cannot make the daemon spin. Errors: `bad_request` "line 3: ...".
Result<std::string> render_template(std::string_view text, const TemplateInput& input);

}  // namespace lxmgr::images
