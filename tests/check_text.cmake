# Lines of text, which clang-format leaves alone: none has more than 100 characters in code and 140 on
# a page, and no comment begins with "Of".  A page links only to files that are there.  Run as
# `cmake -P tests/check_text.cmake`.

cmake_minimum_required(VERSION 3.25)

find_program(GREP grep REQUIRED)
set(code --include=*.h --include=*.cc --include=*.cu --include=*.cuh --include=*.proto)
set(scripts --include=*.sh --include=*.cmake --include=CMakeLists.txt)
set(pages --include=*.md)

# refuse(WHAT PATTERN FILES...): lines that match, which are WHAT.
function(refuse what pattern)
  execute_process(COMMAND ${GREP} -rnE ${pattern} ${ARGN} core datasets dist kernels launcher tests
                          .github README.md
                  OUTPUT_VARIABLE found ERROR_VARIABLE errors RESULT_VARIABLE status)
  if(status EQUAL 0)
    message(SEND_ERROR "${what}:\n${found}")
  elseif(NOT status EQUAL 1)
    message(FATAL_ERROR "grep fails: ${errors}")
  endif()
endfunction()

refuse("more than 100 characters" "^.{101,}" ${code})
refuse("more than 140 characters" "^.{141,}" ${pages})
refuse("a comment that begins with Of" "(//|^ *#) Of " ${code} ${scripts})

foreach(page README.md .github/CONTRIBUTING.md core/attention/README.md)
  cmake_path(GET page PARENT_PATH folder)
  execute_process(COMMAND ${GREP} -oE "[]][(][^):#]+[)]" ${page} COMMAND tr -d "]()"
                  OUTPUT_VARIABLE links)
  string(REPLACE "\n" ";" links "${links}")
  foreach(link ${links})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/${link})
      message(SEND_ERROR "${page} links to ${link}, which is not there")
    endif()
  endforeach()
endforeach()
