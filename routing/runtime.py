"""LLVM code that the wrappers of the kernels (`routing.wrappers`) and the kernels themselves call.

What a kernel allocates for itself it asks of numba's runtime; these few lines take its place. `is_array` compares an
array's class, rank, type and order of memory with what a kernel was compiled for.
"""

# From numpy's ndarraytypes.h: contiguous in C's order, aligned, writable; offsets in PyArrayObject_fields and
# _PyArray_Descr on a machine of 64 bits
_FLAGS = 0x1 | 0x100 | 0x400
DATA, SHAPE, STRIDES = 16, 32, 40
_RANK, _DESCRIPTOR, _ARRAY_FLAGS = 24, 56, 64
_BYTE_ORDER, _TYPE_NUMBER = 26, 28
_FOREIGN = ord(">")

RUNTIME = f"""
declare ptr @malloc(i64)
declare void @free(ptr)
declare ptr @PyImport_ImportModule(ptr)
declare ptr @PyObject_GetAttrString(ptr, ptr)
declare ptr @PyModule_Create2(ptr, i32)
declare void @PyErr_SetString(ptr, ptr)
declare ptr @PyErr_Occurred()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare i32 @PyObject_IsTrue(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare i64 @PyLong_AsUnsignedLongLongMask(ptr)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyLong_FromUnsignedLongLong(i64)
declare ptr @PyFloat_FromDouble(double)
@PyExc_TypeError = external global ptr
@PyExc_RuntimeError = external global ptr
@_Py_NoneStruct = external global i8
@ndarray = global ptr null

%memory_info = type {{ i64, ptr, ptr, ptr, i64, ptr }}

define ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 %align) {{
  %wide = zext i32 %align to i64
  %head = add i64 %wide, 48
  %all = add i64 %size, %head
  %info = call ptr @malloc(i64 %all)
  %failed = icmp eq ptr %info, null
  br i1 %failed, label %end, label %fill
fill:
  %start = ptrtoint ptr %info to i64
  %last = add i64 %start, %head
  %unaligned = urem i64 %last, %wide
  %at = sub i64 %last, %unaligned
  %data = inttoptr i64 %at to ptr
  %data_field = getelementptr %memory_info, ptr %info, i32 0, i32 3
  %size_field = getelementptr %memory_info, ptr %info, i32 0, i32 4
  store i64 1, ptr %info
  store ptr %data, ptr %data_field
  store i64 %size, ptr %size_field
  br label %end
end:
  ret ptr %info
}}
define ptr @NRT_MemInfo_alloc(i64 %size) {{
  %info = call ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 16)
  ret ptr %info
}}
define void @NRT_MemInfo_call_dtor(ptr %info) {{
  call void @free(ptr %info)
  ret void
}}
define ptr @NRT_Allocate(i64 %size) {{
  %data = call ptr @malloc(i64 %size)
  ret ptr %data
}}
define void @NRT_Free(ptr %data) {{
  call void @free(ptr %data)
  ret void
}}

define i1 @is_array(ptr %object, i32 %rank, i32 %type) {{
  %class_at = getelementptr i8, ptr %object, i64 8
  %class = load ptr, ptr %class_at
  %wanted = load ptr, ptr @ndarray
  %right = icmp eq ptr %class, %wanted
  br i1 %right, label %array, label %other
array:
  %rank_at = getelementptr i8, ptr %object, i64 {_RANK}
  %its_rank = load i32, ptr %rank_at
  %flags_at = getelementptr i8, ptr %object, i64 {_ARRAY_FLAGS}
  %flags = load i32, ptr %flags_at
  %descriptor_at = getelementptr i8, ptr %object, i64 {_DESCRIPTOR}
  %descriptor = load ptr, ptr %descriptor_at
  %type_at = getelementptr i8, ptr %descriptor, i64 {_TYPE_NUMBER}
  %its_type = load i32, ptr %type_at
  %order_at = getelementptr i8, ptr %descriptor, i64 {_BYTE_ORDER}
  %order = load i8, ptr %order_at
  %set = and i32 %flags, {_FLAGS}
  %right_rank = icmp eq i32 %its_rank, %rank
  %right_type = icmp eq i32 %its_type, %type
  %right_flags = icmp eq i32 %set, {_FLAGS}
  %right_order = icmp ne i8 %order, {_FOREIGN}
  %a = and i1 %right_rank, %right_type
  %b = and i1 %right_flags, %right_order
  %both = and i1 %a, %b
  ret i1 %both
other:
  ret i1 false
}}
"""
