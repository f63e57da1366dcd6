# Compiles every kernel for sm_80 and sm_90a, warnings and spills being errors, and compares what
# the kernels take on sm_90a with tests/kernels/cuda/registers.txt.  No GPU needed.
#
#   cmake -DNVCC=nvcc -DBUILD=build/cuda_compile_gate [-DUPDATE=ON] -P tests/check_cuda_kernels.cmake
#
# What has been compiled from sources that are older is not compiled again.

cmake_minimum_required(VERSION 3.25)

set(table tests/kernels/cuda/registers.txt)
set(columns "registers" "bytes of static shared memory" "bytes of spills" "bytes of stack")
set(flags -std=c++20 -O3 -I. --expt-relaxed-constexpr -DNDEBUG -Werror all-warnings
    -Xptxas -v,-warn-spills,-Werror -cubin)
set(update_command "cmake -DNVCC=${NVCC} -DBUILD=${BUILD} -DUPDATE=ON \
-P tests/check_cuda_kernels.cmake")
find_program(FILT NAMES c++filt cu++filt REQUIRED)
file(MAKE_DIRECTORY ${BUILD})

file(GLOB_RECURSE sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} kernels/*.cu)
file(GLOB_RECURSE headers kernels/*.h kernels/*.cuh)
list(SORT sources)

function(is_new result log source)
  foreach(input ${source} ${headers} ${CMAKE_CURRENT_LIST_FILE})
    if(${input} IS_NEWER_THAN ${log})  # true also where there is no log
      set(${result} FALSE PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} TRUE PARENT_SCOPE)
endfunction()

# One line a compilation, two of which run at a time.
set(commands "")
foreach(source ${sources})
  string(MAKE_C_IDENTIFIER ${source} name)
  foreach(architecture 90a 80)
    set(log ${BUILD}/${name}_${architecture}.log)
    is_new(new ${log} ${source})
    if(NOT new)
      list(JOIN flags " " flag_words)
      string(APPEND commands "${NVCC} ${flag_words} \
-gencode arch=compute_${architecture},code=sm_${architecture} \
-o ${BUILD}/${name}_${architecture}.cubin ${source} > ${log}.new 2>&1 && mv ${log}.new ${log} \
|| { echo; echo ${source} for sm_${architecture}:; cat ${log}.new; exit 1; }\n")
    endif()
  endforeach()
endforeach()
file(WRITE ${BUILD}/commands "${commands}")
execute_process(COMMAND xargs -P 2 -I {} sh -c "{}" INPUT_FILE ${BUILD}/commands
                RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "kernels that do not compile, or spill registers: see above")
endif()

# "kernel", then the numbers of the columns, of all sources, sorted by name.
set(found "")
foreach(source ${sources})
  string(MAKE_C_IDENTIFIER ${source} name)
  file(STRINGS ${BUILD}/${name}_90a.log lines
       REGEX "Compiling entry function|bytes stack frame|Used [0-9]+ registers")
  foreach(line ${lines})
    if(line MATCHES "entry function '([^']+)'")
      execute_process(COMMAND ${FILT} -p ${CMAKE_MATCH_1} OUTPUT_VARIABLE kernel
                      OUTPUT_STRIP_TRAILING_WHITESPACE)
      string(REPLACE "treeformer::" "" kernel "${kernel}")
    elseif(line MATCHES "([0-9]+) bytes stack frame, ([0-9]+) .* stores, ([0-9]+) .* loads")
      set(stack ${CMAKE_MATCH_1})
      math(EXPR spills "${CMAKE_MATCH_2} + ${CMAKE_MATCH_3}")
    elseif(line MATCHES "Used ([0-9]+) registers")
      set(registers ${CMAKE_MATCH_1})
      set(shared 0)
      if(line MATCHES "([0-9]+) bytes smem")
        set(shared ${CMAKE_MATCH_1})
      endif()
      list(APPEND found "${kernel} ${registers} ${shared} ${spills} ${stack}")
    endif()
  endforeach()
endforeach()
list(SORT found)

if(UPDATE)
  list(JOIN found "\n" text)
  list(JOIN columns ", " names)
  file(WRITE ${table} "# On sm_90a: kernel, ${names}\n${text}\n")
  message("written: ${table}")
  return()
endif()

set(line_format "^(.*) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)$")
file(STRINGS ${table} allowed REGEX "${line_format}")
foreach(line ${found})
  string(REGEX REPLACE "${line_format}" "\\1" kernel "${line}")
  set(limits "")
  foreach(entry ${allowed})
    string(REGEX REPLACE "${line_format}" "\\1" name "${entry}")
    if(name STREQUAL kernel)
      string(REGEX REPLACE "${line_format}" "\\2;\\3;\\4;\\5" limits "${entry}")
    endif()
  endforeach()
  if(limits STREQUAL "")
    message(SEND_ERROR "not in ${table}: ${line}; to write it:\n${update_command}")
    continue()
  endif()
  string(REGEX REPLACE "${line_format}" "\\2;\\3;\\4;\\5" numbers "${line}")
  foreach(number limit what IN ZIP_LISTS numbers limits columns)
    if(number GREATER limit)
      message(SEND_ERROR "${kernel}: ${number} ${what}, ${limit} in ${table}; if that is wanted:\n\
${update_command}")
    endif()
  endforeach()
endforeach()
list(LENGTH found count)
message("${count} kernels compiled for sm_80 and sm_90a without spills")
