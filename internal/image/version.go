package image

// Version is the version of Berth that a build makes.
const Version = "0.1.0"
