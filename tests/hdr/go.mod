// The library with which tests/hdr.rs reads histograms. If its version changes here, the test builds again.
module endpointlag/tests/hdr

go 1.26

require github.com/HdrHistogram/hdrhistogram-go v1.2.0
