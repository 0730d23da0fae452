#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxmgr/client.h"
#include "lxmgr/terminal.h"

/// Files inside an instance through GET, POST and DELETE of .../files?path=P.
namespace lxmgr::cli {

struct RemoteAttributes {
    std::string type;  ///< "file", "directory" or "symlink"
    unsigned uid = 0, gid = 0;
    unsigned mode = 0;
};

/// What a pushed entry shall be when it is made; what is not given becomes the daemon's default.
struct WantedAttributes {
    std::optional<unsigned> uid, gid, mode;
    std::string
        existing_gets{};  ///< of uid, gid and mode what a file that exists gets too, separated by commas
};

class RemoteFiles {
public:
    RemoteFiles(Client& client, std::string instance) : client_(client), instance_(std::move(instance)) {}

    struct Opened {
        RemoteAttributes attributes;
        std::unique_ptr<HttpResponse> body;
    };
    /// Starts reading. Errors name instance and path.
    Result<Opened> open(const std::string& path);
    /// As open(), but goes through symbolic links, at most 40.
    Result<Opened> open_following(const std::string& path);
    /// Names in a directory that open() found; none of them checked.
    Result<std::vector<std::string>> entries(Opened& directory);
    /// "" when there is nothing at the path, else its type.
    Result<std::string> type_of(const std::string& path);

    Result<> push_file(const std::string& path, const WantedAttributes& wanted, Upload content);
    Result<> push_directory(const std::string& path, const WantedAttributes& wanted);
    Result<> push_link(const std::string& path, const WantedAttributes& wanted, const std::string& target);
    /// Makes what is missing of the directories above the path.
    Result<> make_parents(const std::string& path, const WantedAttributes& wanted);
    Result<> remove(const std::string& path);

    [[nodiscard]] const std::string& instance() const { return instance_; }

private:
    [[nodiscard]] std::string url(const std::string& path) const;
    Error named(std::string_view doing, const std::string& path, Error error) const;
    Result<> push(const std::string& path, const WantedAttributes& wanted, const char* type,
                  HttpRequest request);

    Client& client_;
    std::string instance_;
};

/// "/a/b/" -> "/a"; "/a" -> "/".
std::string parent_path(const std::string& path);
/// Last part of a path without trailing slashes; empty for "/".
std::string base_name(const std::string& path);
/// "/a" and "b" -> "/a/b".
std::string join_path(const std::string& directory, const std::string& name);

/// Reads a descriptor for an upload and draws the progress; a regular file is sent with its size.
Upload upload_of(int fd, std::optional<std::uint64_t> size_bytes, Progress& progress);
/// Copies a body to a descriptor at constant memory.
Result<> copy_body(HttpResponse& body, int fd, Progress& progress);

}  // namespace lxmgr::cli
