#include "lxd-daemon/migration/talk.h"

#include <cerrno>

#include "lxd-daemon/base/log.h"

namespace lxmgr::migration {
namespace {

RsyncFeatures common(const RsyncFeatures& one, const RsyncFeatures& other) {
    return {.xattrs = one.xattrs && other.xattrs,
            .remove = one.remove && other.remove,
            .compress = one.compress && other.compress,
            .bidirectional = one.bidirectional && other.bidirectional,
            .faithful = one.faithful && other.faithful};
}

/// The peer waits for an end: it is told why there is none.
void tell_failure(Link& link, const Error& error) {
    [[maybe_unused]] const auto sent = link.send(to_wire(Verdict{false, error.message}));
}

Result<Header> agree_as_source(Link& link, const Header& offer) {
    LX_TRY(link.send(to_wire(offer)));
    LX_TRY_AS(const std::string message, link.receive());
    LX_TRY_AS(Header answer, parse_header(message));
    if (answer.by != kByRsync)
        return fail(Status::bad_request, "The other server wants another way of transfer than rsync");
    if (!answer.streams.empty() && answer.streams != offer.streams)
        return fail(Status::bad_request, "The other server wants streams of a form that was not offered");
    answer.rsync = common(offer.rsync.value_or(RsyncFeatures{}), answer.rsync.value_or(RsyncFeatures{}));
    if (!answer.rsync->bidirectional)
        return fail(Status::bad_request, "The other server is too old: its streams have no end of their own");
    return answer;
}

Result<Header> agree_as_target(Link& link, const TargetSteps& steps, const Header& offer) {
    LX_TRY_AS(Header answer, steps.choose(offer));
    answer.by = kByRsync;
    answer.rsync = common(our_features(steps.compress), offer.rsync.value_or(RsyncFeatures{}));
    if (!answer.rsync->bidirectional)
        return fail(Status::bad_request, "The other server is too old: its streams have no end of their own");
    LX_TRY(link.send(to_wire(answer)));
    return answer;
}

}  // namespace

RsyncFeatures our_features(bool compress) {
    return {.xattrs = true, .remove = true, .compress = compress, .bidirectional = true, .faithful = true};
}

Result<> talk_as_source(Link& link, const Header& offer,
                        const std::function<Result<>(const Header& answer)>& send) {
    LX_TRY(link.connect());
    LX_TRY_AS(const Header answer, agree_as_source(link, offer));
    link.heed();
    if (auto sent = send(answer); !sent && sent.error().sys_errno != EPIPE) {
        tell_failure(link, sent.error());
        return sent;
    }
    // Also why it took no more.
    LX_TRY_AS(const std::string message, link.receive());
    LX_TRY_AS(const Verdict verdict, parse_verdict(message));
    if (verdict.success) return {};
    return fail(Status::bad_request, "The target says: " + verdict.message);
}

Result<> talk_as_target(Link& link, const TargetSteps& steps) {
    LX_TRY(link.connect());
    LX_TRY_AS(const std::string message, link.receive());
    const auto take = [&]() -> Result<> {
        LX_TRY_AS(const Header offer, parse_header(message));
        LX_TRY_AS(const Header answer, agree_as_target(link, steps, offer));
        link.heed();
        return steps.receive(offer, answer);
    };
    if (auto taken = take(); !taken) {
        tell_failure(link, taken.error());
        return taken;
    }
    // What was taken is here for good, whether the source hears of it or not.
    if (auto told = link.send(to_wire(Verdict{true, ""})); !told)
        log::warn("the source of a migration does not hear that it succeeded",
                  {{"error", told.error().message}});
    return {};
}

}  // namespace lxmgr::migration
