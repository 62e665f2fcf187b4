// Judges a camera, a video or a folder of images read with OpenCV and prints JSON lines as regad-run does.
//     stream MODEL CATEGORY SOURCE [LIMIT]    SOURCE: a camera's number, a video or URL, an image, a folder
// Exit status: 0 all judged, 1 failure, 2 usage, 3 something could not be judged.
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/videoio.hpp>
#include <regad/regad.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <limits>
#include <stdexcept>

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// Unix seconds.
double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// One frame after another, from whatever the source is.
class Frames {
public:
    explicit Frames(const std::string &source) : source_(source) {
        const bool number = !source.empty() && source.find_first_not_of("0123456789") == std::string::npos;
        if (!number && fs::is_directory(source)) {
            for (const fs::directory_entry &entry : fs::directory_iterator(source)) {
                files_.push_back(entry.path().string());
            }
            std::sort(files_.begin(), files_.end());
        } else if (!number && cv::haveImageReader(source)) {
            files_ = {source};
        } else if (number ? !video_.open(std::atoi(source.c_str())) : !video_.open(source)) {
            throw std::runtime_error(source + " cannot be opened as a camera, a video, an image or a folder");
        }
    }

    // False at the end. An unreadable file gives an empty frame.
    bool next(cv::Mat &frame, std::string &name) {
        if (video_.isOpened()) {
            name = source_;
            return video_.read(frame);
        }
        if (at_ == files_.size()) {
            return false;
        }
        name = files_[at_++];
        frame = cv::imread(name, cv::IMREAD_COLOR);
        return true;
    }

private:
    std::string source_;
    std::vector<std::string> files_;
    std::size_t at_ = 0;
    cv::VideoCapture video_;
};

Json verdict(const regad::Result &result) {
    Json thetas = Json::array();
    for (const auto &theta : result.thetas) {
        thetas.push_back(theta);
    }
    Json json = {{"score", result.score},  // infinity, where a part is missing or misplaced, is written as null
                 {"threshold", result.threshold},
                 {"anomalous", result.anomalous != 0},
                 {"reject", result.anomalous != 0},
                 {"warn", result.warn != 0},
                 {"reason", regad_reason_string(result.reason)},
                 {"thetas", thetas},
                 {"ms",
                  {{"preprocess", result.ms_preprocess}, {"encode", result.ms_encode}, {"score", result.ms_score},
                   {"total", result.ms_total}}}};
    if (result.detail[0] != '\0') {
        json["detail"] = result.detail;
    }
    if (result.registered) {
        json["pose"] = {{"angle", result.angle},
                        {"dx", result.dx},
                        {"dy", result.dy},
                        {"scale", result.scale},
                        {"quality", result.match}};
    }
    return json;
}

int run(const std::string &model, const std::string &category, const std::string &source, long limit) {
    regad::Detector detector(model);
    detector.load_category(category);
    const Json loaded = Json::parse(detector.describe());
    Frames frames(source);
    cv::Mat frame;
    std::string name;
    int status = 0;
    for (long index = 0; index < limit && frames.next(frame, name); ++index) {
        Json line = {{"source", name}, {"frame", index}, {"time", now()}};
        try {
            if (frame.empty()) {
                throw std::runtime_error(name + " cannot be read as an image");
            }
            const regad::Image view(frame.data, frame.cols, frame.rows, regad::Format::bgr,
                                    static_cast<std::int64_t>(frame.step));
            line.update(verdict(detector.predict(view)));
            line["artifact"] = loaded["artifact"]["hash"].get<std::string>().substr(0, 16);
            line["category"] = loaded["category"]["hash"];
        } catch (const std::exception &error) {  // reported, and never judged good
            line["error"] = error.what();
            line["reject"] = true;
            status = 3;
        }
        std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
    }
    return status;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) {
        std::cerr << "usage: " << argv[0] << " MODEL CATEGORY SOURCE [LIMIT]\n";
        return 2;
    }
    try {
        return run(argv[1], argv[2], argv[3], argc == 5 ? std::atol(argv[4]) : std::numeric_limits<long>::max());
    } catch (const std::exception &error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
}
