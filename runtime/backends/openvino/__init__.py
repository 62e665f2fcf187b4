"""OpenVINO: Intel's processors, graphics and NPUs."""
