
typedef beui32_t ip_addr_t;

/* IPv4 header fields that share a byte or a word with others. */
#define IPH_V(hdr) ((hdr)->_v_hl >> 4)
#define IPH_HL(hdr) ((hdr)->_v_hl & 0x0f)
#define IPH_TOS(hdr) ((hdr)->_tos)
#define IPH_ECN(hdr) ((hdr)->_tos & 0x3)

#define IPH_VHL_SET(hdr, v, hl) ((hdr)->_v_hl = (uint8_t) ((v) << 4 | (hl)))
#define IPH_TOS_SET(hdr, tos) ((hdr)->_tos = (tos))
#define IPH_ECN_SET(hdr, ecn) \
  ((hdr)->_tos = (uint8_t) (((hdr)->_tos & ~0x3) | ((ecn) & 0x3)))

/* TCP header length in words, and flags. */
#define TCPH_HDRLEN(hdr) (ntohs((hdr)->_hdrlen_rsvd_flags) >> 12)
#define TCPH_FLAGS(hdr) (ntohs((hdr)->_hdrlen_rsvd_flags) & TCP_FLAGS)

#define TCPH_HDRLEN_SET(hdr, len) \
  ((hdr)->_hdrlen_rsvd_flags = htons( \
      (uint16_t) ((len) << 12 | (ntohs((hdr)->_hdrlen_rsvd_flags) & 0xfff))))
#define TCPH_FLAGS_SET(hdr, flags) \
  ((hdr)->_hdrlen_rsvd_flags = htons((uint16_t) ( \
      (ntohs((hdr)->_hdrlen_rsvd_flags) & ~TCP_FLAGS) | (flags))))
#define TCPH_HDRLEN_FLAGS_SET(hdr, len, flags) \
  ((hdr)->_hdrlen_rsvd_flags = htons((uint16_t) ((len) << 12 | (flags))))

#define TCPH_SET_FLAG(hdr, flags) \
  ((hdr)->_hdrlen_rsvd_flags = (uint16_t) ( \
      (hdr)->_hdrlen_rsvd_flags | htons((uint16_t) (flags))))
#define TCPH_UNSET_FLAG(hdr, flags) \
  ((hdr)->_hdrlen_rsvd_flags = (uint16_t) ( \
      (hdr)->_hdrlen_rsvd_flags & ~htons((uint16_t) (flags))))

/* Two no-operation options followed by SACK-permitted. */
#define TCP_BUILD_SACK_OPTION htonl(0x04020101)
