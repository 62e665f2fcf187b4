// The detectors that callers hold. A handle is a number, not an address, and no number is given out twice: a handle of
// a detector that is gone names nothing, whatever has been made since.
#pragma once

#include <regad/regad.h>

#include <memory>

#include "engine/detector.hpp"

namespace regad {

regad_detector *give_out(std::unique_ptr<Detector> detector);

// Waits until no call uses the detector, then destroys it. Calls that come meanwhile find it gone. Does nothing for a
// handle of no detector.
void take_back(regad_detector *handle);

// A detector that is not destroyed while this exists.
class InUse {
public:
    // Throws Error (REGAD_INVALID_ARGUMENT) if the handle is of no detector. Allocates nothing otherwise.
    explicit InUse(regad_detector *handle);
    InUse(const InUse &) = delete;
    InUse &operator=(const InUse &) = delete;
    ~InUse();

    Detector &operator*() const noexcept { return *detector_; }
    Detector *operator->() const noexcept { return detector_; }

private:
    struct Entry *entry_;
    Detector *detector_;
};

}  // namespace regad
