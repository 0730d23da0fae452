#include "lxd-daemon/rest/expiry.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "lxd-daemon/operations/operation.h"

namespace lxmgr::rest {
namespace asio = boost::asio;

struct Expiry::Impl : std::enable_shared_from_this<Impl> {
    Impl(asio::io_context& context, operations::Registry& registry)
        : io(context), operations(registry), timer(context) {}

    void arm() {
        if (armed || ended) return;
        const auto next = operations.expire();
        if (!next) return;
        armed = true;
        timer.expires_at(*next);
        timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            self->armed = false;
            if (!error) self->arm();
        });
    }

    asio::io_context& io;
    operations::Registry& operations;
    asio::steady_timer timer;
    bool armed = false;
    bool ended = false;
};

Expiry::Expiry(asio::io_context& io, operations::Registry& operations)
    : impl_(std::make_shared<Impl>(io, operations)) {
    operations.on_retained([impl = impl_] { asio::post(impl->io, [impl] { impl->arm(); }); });
}

Expiry::~Expiry() {
    impl_->operations.on_retained(nullptr);
    impl_->ended = true;
    impl_->timer.cancel();
}

}  // namespace lxmgr::rest
