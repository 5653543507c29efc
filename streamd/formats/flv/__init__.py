"""FLV tags, their audio and video headers, and the gate in front of the demuxer (Adobe FLV 10.1, Enhanced RTMP v2)."""
