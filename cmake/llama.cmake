# Target `llama`: libllama and ggml, static, as tools/fetch-llama built them in the cache, with the
# C++ runtime and the threads they need. Only src/service/llm links it, and so sees llama.h.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    ${CMAKE_SOURCE_DIR}/tools/fetch-llama)
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/fetch-llama --where
    OUTPUT_VARIABLE PLIMSOLL_LLAMA_DIR OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_VARIABLE llama_error RESULT_VARIABLE llama_result)
if(NOT llama_result EQUAL 0)
    message(FATAL_ERROR "${llama_error}")
endif()

add_library(llama INTERFACE IMPORTED GLOBAL)
set_target_properties(llama PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${PLIMSOLL_LLAMA_DIR}/include)
target_link_libraries(llama INTERFACE
    ${PLIMSOLL_LLAMA_DIR}/lib/libllama.a
    ${PLIMSOLL_LLAMA_DIR}/lib/libggml.a
    ${PLIMSOLL_LLAMA_DIR}/lib/libggml-cpu.a
    ${PLIMSOLL_LLAMA_DIR}/lib/libggml-base.a
    stdc++ m ${CMAKE_DL_LIBS} Threads::Threads)
