#pragma once
#include <sys/stat.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/instances/files.h"
#include "lxd-daemon/instances/sftp/packet.h"

namespace lxmgr::instances::sftp {

/// One client's view of one instance's files. Blocking; one thread. Every path is the instance's own and can
/// lead nowhere else (root_access.h). Sockets, pipes and devices can be looked at and removed, but not
/// opened.
class Server {
public:
    /// No packet is longer, either way.
    static constexpr std::size_t kMaxPacket = 256 * 1024 + 1024;

    explicit Server(InstanceRoot root) : root_(std::move(root)) {}
    /// @param packet without its length
    /// @return the reply with its length; empty when the packet cannot be understood at all and the session
    /// must end
    std::string handle(std::string_view packet);

private:
    struct Handle {
        UniqueFd fd;
        bool append = false;
        bool is_directory = false;
        std::vector<std::string> entries;  ///< of a directory, not told yet
        std::string path;
    };
    using Reply = Result<std::string>;

    Reply dispatch(Type type, std::uint32_t id, PacketReader& in);
    Reply dispatch_handle(Type type, std::uint32_t id, PacketReader& in);
    Reply open(std::uint32_t id, PacketReader& in);
    Reply open_directory(std::uint32_t id, PacketReader& in);
    Reply close(std::uint32_t id, PacketReader& in);
    Reply read(std::uint32_t id, PacketReader& in);
    Reply write(std::uint32_t id, PacketReader& in);
    Reply stat(std::uint32_t id, PacketReader& in, bool follow);
    Reply stat_handle(std::uint32_t id, PacketReader& in);
    Reply set_stat(std::uint32_t id, PacketReader& in);
    Reply set_stat_handle(std::uint32_t id, PacketReader& in);
    Reply read_directory(std::uint32_t id, PacketReader& in);
    Reply remove(std::uint32_t id, PacketReader& in, bool directory);
    Reply make_directory(std::uint32_t id, PacketReader& in);
    Reply real_path(std::uint32_t id, PacketReader& in);
    Reply rename(std::uint32_t id, PacketReader& in, bool replace);
    Reply hard_link(std::uint32_t id, PacketReader& in);
    Reply read_link(std::uint32_t id, PacketReader& in);
    Reply symlink(std::uint32_t id, PacketReader& in);
    Reply extended(std::uint32_t id, PacketReader& in);
    Reply stat_file_system(std::uint32_t id, PacketReader& in);

    Result<UniqueFd> open_regular(const std::string& path, std::uint32_t flags, const Attributes& attributes);
    Result<> apply(int fd, const Attributes& attributes, const std::string& path);
    Result<std::string> keep(Handle handle, std::uint32_t id);
    Result<Handle*> find(PacketReader& in);
    std::string attributes_of(const struct ::stat& st) const;
    Result<std::string> path_from(PacketReader& in) const;

    InstanceRoot root_;
    std::map<std::string, Handle, std::less<>> handles_;
    std::uint64_t next_handle_ = 0;
};

}  // namespace lxmgr::instances::sftp
