// What tests/hdr.rs reads histograms back with. A change of version here makes the test build anew.
module endpointlag/tests/hdr

go 1.26

require github.com/HdrHistogram/hdrhistogram-go v1.2.0
