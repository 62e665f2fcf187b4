include("${CMAKE_CURRENT_LIST_DIR}/regad-targets.cmake")
