#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// A tree as one stream, between two servers of ours: for what the target has nothing of yet, where rsync's
/// lists, sums and answers are of no use. One way, from standard input or to standard output, which are
/// pipes.
///
/// kMagic, then entries: a letter of Kind, a name (of the root: none), and what the kind has. Numbers are
/// little-endian. What is in a directory stands between its `directory` and its `leave`. The stream ends with
/// `end`.
namespace lxmgr::rsync {

/// Exit codes as of main(); 12, as rsync's, when nobody is at the other end. The tree is at kTreePath.
int send_whole();
int receive_whole();

inline constexpr char kMagic[] = "lxtree1\n";
inline constexpr std::size_t kMagicBytes = sizeof kMagic - 1;
inline constexpr int kPeerLost = 12;
/// Directories within each other; more than a path can name.
inline constexpr std::size_t kMaxNesting = 2048;
inline constexpr std::size_t kStreamBytes = std::size_t{1} << 17;

enum class Kind : std::uint8_t {
    directory = 'd',  ///< meta
    leave = 'u',      ///< without a name
    file = 'f',  ///< meta, number by which links name it (0: none), size, parts: offset, length, data; length
                 ///< 0 ends them
    symlink = 's',  ///< meta, target
    node = 'n',     ///< meta, device number
    link = 'h',     ///< number of a file
    end = 'e',      ///< without a name
};

struct Attribute {
    std::string name, value;
};

struct Meta {
    mode_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
    std::vector<Attribute> attributes;
};

/// As many as may be: there is one for each directory on the way to where it works.
void want_descriptors();
/// Says on standard error what failed, with errno. False.
bool complain(const char* what, const std::string& path);

}  // namespace lxmgr::rsync
