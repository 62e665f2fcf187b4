#include "engine/finder.hpp"

#include <cstring>
#include <iomanip>
#include <locale>
#include <sstream>
#include <utility>

#include "engine/preprocess.hpp"

namespace regad {
namespace {

TemplateData data_of(const RegistrationSpec &spec) {
    return {spec.grey.data(), {spec.weights[0], spec.weights[1], spec.weights[2]}, spec.region, spec.width(),
            spec.height(), spec.centre_x, spec.centre_y};
}

Spot spot_of(const RegistrationSpec &spec, Fit fit) {
    InputSpec alone;
    alone.fit = fit;
    const Placement place_of = place(spec.box_width, spec.box_height, alone);
    return {place_of.x, place_of.y, place_of.width, place_of.height};
}

double shown(const float *seen, const Buffer<float> &structure) {
    double share = 0;
    for (std::size_t i = 0; i < positions1; ++i) {
        share += static_cast<double>(seen[i]) * static_cast<double>(structure[i]);
    }
    return share;
}

}  // namespace

std::string taught_with(const char *name, double value, const Limit &limit) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << std::setprecision(3) << name << ' ' << value << ", taught with " << limit.taught_low << " to "
         << limit.taught_high;
    return text.str();
}

Part::Part(RegistrationSpec registration, Fit fitted, Pool &pool)
    : spec(std::move(registration)), fit(fitted), shape(data_of(spec), pool), spot(spot_of(spec, fit)) {
    spec.grey = Buffer<float>();
}

Arrival Finder::run(const Part &part, const regad_image &image, const InputSpec &spec, Pool &pool,
                    unsigned char *out) {
    const Pixels pixels = pixels_of(image);
    const Placement where = place(image.width, image.height, spec);
    const Box box{where.left, where.top, where.right, where.bottom};
    const Found found = registration_.find(part.shape, pixels, box, part.fit == Fit::stretch, pool);
    Arrival arrival;
    arrival.pose = found.pose;
    arrival.quality = found.quality;
    arrival.to_input = frame_to_input(part.shape, part.spot, found.pose, box);
    if (found.quality < part.spec.quality.low) {
        arrival.detail = taught_with("match", found.quality, part.spec.quality);
        return arrival;
    }
    registration_.warp(part.shape, part.spot, found.pose, pool, input_.data(), seen_.data());
    const double share = shown(seen_.data(), part.spec.structure);
    if (share < part.spec.shown.low) {
        arrival.detail = taught_with("share in the frame", share, part.spec.shown);
        return arrival;
    }
    filling_.run(part.spec.reference.data(), seen_.data(), input_.data());
    std::memcpy(out, input_.data(), image_bytes);
    return arrival;
}

}  // namespace regad
