"""CMAF fragments: the codec-agnostic boxes that we write ourselves (ISO/IEC 14496-12, 23000-19)."""
