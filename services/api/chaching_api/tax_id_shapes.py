"""What tax numbers of each type look like, and the parameter that checks a type with its number.

A shape is a picture: ``#`` stands for a digit, ``@`` for a letter, ``*`` for either, ``~`` for a
letter, N with tilde or &; any other character for itself. Before a number is held against the
pictures, its spaces, dots, hyphens and slashes are dropped and its letters are upper-cased. Check
digits are not computed: well-known examples fail them. Where a country publishes several spellings
all are taken. Source: the examples of Stripe's list of supported tax ids and the registries' own
descriptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final, TypeAlias

import msgspec

from chaching_api.bodies import Node
from chaching_api.errors import Malformed
from chaching_api.parameter_types import FilledText, OneOf, Record
from chaching_api.texts import shortened

Shapes: TypeAlias = tuple[str, ...]

NUMBER_CHARACTERS_MAX: Final = 64
VALUE_CHARACTERS_MAX: Final = 5000


def _digits(*lengths: int, after: str = "", before: str = "") -> Shapes:
    return tuple([f"{after}{'#' * length}{before}" for length in lengths])


_SPANISH: Final[Shapes] = ("@#######*", "########@")
_SWISS: Final = "CHE#########"

_EU_VAT: Final[Shapes] = (
    "ATU########",
    "BE##########",
    *_digits(9, 10, after="BG"),
    "CY########@",
    *_digits(8, 9, 10, after="CZ"),
    "DE#########",
    "DK########",
    "EE#########",
    "EL#########",
    "ES*#######*",
    "FI########",
    "FR**#########",
    "HR###########",
    *_digits(8, 11, after="HU"),
    *("IE#######@", "IE#######@@", "IE#@#####@"),
    "IT###########",
    *_digits(9, 12, after="LT"),
    "LU########",
    "LV###########",
    "MT########",
    "NL#########B##",
    "PL##########",
    "PT#########",
    *_digits(*range(2, 11), after="RO"),
    "SE############",
    "SI########",
    "SK##########",
    *("XI#########", "XI############", "XIGD###", "XIHA###"),
)

SHAPES: Final[Mapping[str, Shapes]] = {
    "ad_nrt": ("@######@",),
    "ae_trn": _digits(15),
    "al_tin": ("@########@",),
    "am_tin": _digits(8),
    "ao_tin": ("##########", "#########@@###"),
    "ar_cuit": _digits(11),
    "au_abn": _digits(11),
    "au_acn": _digits(9),
    "au_arn": _digits(12),
    "au_wpn": _digits(8, 9),
    "aw_tin": _digits(8),
    "az_tin": _digits(10),
    "ba_tin": _digits(12, 13),
    "bb_tin": _digits(13),
    "bd_bin": _digits(13),
    "bf_ifu": ("########@",),
    "bg_uic": _digits(9, 10, 13),
    "bh_vat": _digits(15),
    "bj_ifu": _digits(13),
    "bo_tin": _digits(*range(7, 13)),
    "br_cnpj": ("************##",),
    "br_cpf": _digits(11),
    "bs_tin": _digits(9),
    "bw_vat": (*_digits(9, 10, 11, 12), *_digits(8, 9, 10, 11, after="@"), "BW###########"),
    "by_tin": ("#########", "@@#######"),
    "ca_bn": _digits(9),
    "ca_gst_hst": ("#########RT####",),
    "ca_pst_bc": ("PST########",),
    "ca_pst_mb": _digits(7),
    "ca_pst_sk": _digits(7),
    "ca_qst": ("##########TQ####",),
    "cd_nif": ("@#######@",),
    "ch_uid": (_SWISS, f"{_SWISS}HR", f"{_SWISS}RC"),
    "ch_vat": (f"{_SWISS}MWST", f"{_SWISS}TVA", f"{_SWISS}IVA", f"{_SWISS}TPV"),
    "ci_vat": ("#######@",),
    "cl_tin": ("########K", "#########", "#######K", "########"),
    "cm_niu": ("@############@",),
    "cn_tin": ("#" * 15, "*" * 15, "*" * 18, "*" * 20),
    "co_nit": _digits(8, 9, 10, 11),
    "cr_tin": _digits(9, 10, 11, 12),
    "cv_nif": _digits(9),
    "cz_dic": (*_digits(8, 9, 10, after="CZ"), *_digits(8, 9, 10)),
    "de_stn": _digits(10, 11, 12, 13),
    "do_rcn": _digits(9, 11),
    "ec_ruc": _digits(13),
    "eg_tin": _digits(9),
    "es_cif": _SPANISH,
    "et_tin": _digits(10),
    "eu_oss_vat": ("EU#########", "IM##########"),
    "eu_vat": _EU_VAT,
    "fo_vat": ("FO######", "######"),
    "fr_siren": _digits(9),
    "fr_siret": _digits(14),
    "fr_spi": _digits(13),
    "gb_vat": ("GB#########", "GB############", "GBGD###", "GBHA###"),
    "ge_vat": _digits(9, 11),
    "gh_tin": ("@#########*", "GHA##########"),
    "gi_tin": _digits(5, 6),
    "gn_nif": _digits(9),
    "hk_br": _digits(8, 11),
    "hr_oib": _digits(11),
    "hu_tin": _digits(11),
    "ic_nif": _SPANISH,
    "id_npwp": _digits(15, 16),
    "il_vat": _digits(9),
    "in_gst": ("##@@@@@####@***",),
    "is_kt": _digits(10),
    "is_vat": _digits(5, 6),
    "it_cf": ("@@@@@@**@**@***@", "###########"),
    "jp_cn": _digits(13),
    "jp_rn": _digits(5),
    "jp_trn": _digits(13, after="T"),
    "ke_pin": ("@#########@",),
    "kg_tin": _digits(14),
    "kh_tin": ("*############",),
    "kr_brn": _digits(10),
    "kz_bin": _digits(12),
    "la_tin": _digits(12),
    "li_uid": (_SWISS,),
    "li_vat": _digits(5),
    "lk_vat": _digits(13),
    "ma_vat": _digits(7, 8),
    "md_cf": _digits(13),
    "md_vat": _digits(7),
    "me_pib": _digits(8),
    "mk_vat": (*_digits(13, after="MK"), *_digits(13)),
    "mr_nif": _digits(8),
    "mu_vat": (*_digits(8), *_digits(8, after="VAT")),
    "mx_rfc": ("~~~######***", "~~~~######***"),
    "my_frp": _digits(8),
    "my_itn": (*_digits(8, 9, 10, 11, after="@"), *_digits(8, 9, 10, 11, after="@@")),
    "my_sst": ("@##############",),
    "mz_nuit": _digits(9),
    "ng_tin": _digits(10, 12, 13),
    "no_vat": _digits(9, before="MVA"),
    "no_voec": _digits(7),
    "np_pan": _digits(9),
    "nz_bn": _digits(13),
    "nz_gst": _digits(8, 9),
    "om_vat": _digits(10, after="OM"),
    "pe_ruc": _digits(11),
    "ph_tin": _digits(9, 12, 13, 14),
    "pl_nip": _digits(10),
    "pt_nif": _digits(9),
    "py_ruc": ("######*", "#######*", "########*"),
    "ro_tin": _digits(*range(2, 11), 13),
    "rs_pib": _digits(9),
    "ru_inn": _digits(10, 12),
    "ru_kpp": ("####**###",),
    "sa_vat": _digits(15),
    "sg_gst": ("@########@", "@@#######*", "########@", "#########@", "@##@@####@"),
    "sg_uen": ("########@", "#########@", "@##@@####@"),
    "si_tin": _digits(8),
    "sm_coe": (*_digits(3, 4, 5), *_digits(5, after="SM")),
    "sn_ninea": ("########@#", "#########", "#######"),
    "sr_fin": _digits(10),
    "sv_nit": _digits(14),
    "th_vat": _digits(13),
    "tj_tin": _digits(9),
    "tr_tin": _digits(10, 11),
    "tt_bir": _digits(9, 10),
    "tt_vat": _digits(6, 9),
    "tw_vat": _digits(8),
    "tz_vat": ("########@",),
    "ua_vat": _digits(8, 9, 10, 12),
    "ug_tin": _digits(10),
    "us_ein": _digits(9),
    "uy_ruc": _digits(12),
    "uz_tin": _digits(9),
    "uz_vat": _digits(12),
    "ve_rif": ("@#########",),
    "vn_tin": _digits(10, 12, 13),
    "za_vat": ("4#########",),
    "zm_tin": _digits(10),
    "zw_tin": _digits(10),
}

_N_TILDE: Final = "\N{LATIN CAPITAL LETTER N WITH TILDE}"
_COMPACT: Final = str.maketrans(
    ascii_lowercase + _N_TILDE.lower(), ascii_uppercase + _N_TILDE, " .-/"
)
_CLASSES: Final[Mapping[str, str]] = {
    "#": digits,
    "@": ascii_uppercase,
    "*": digits + ascii_uppercase,
    "~": f"{ascii_uppercase}{_N_TILDE}&",
}


def has_shape(number: str, shapes: Shapes) -> bool:
    """Whether a number, separators dropped, fits one of the pictures."""
    if len(number) > NUMBER_CHARACTERS_MAX:
        return False
    compact = number.translate(_COMPACT)
    return any(_fits(compact, shape) for shape in shapes)


def _fits(compact: str, shape: str) -> bool:
    return len(compact) == len(shape) and all(
        character in _CLASSES.get(picture, picture)
        for character, picture in zip(compact, shape, strict=True)
    )


class TaxNumber(msgspec.Struct, frozen=True):
    """A tax number as a caller gave it."""

    type: str
    value: str


_PAIR: Final = Record(
    TaxNumber,
    {"type": OneOf(tuple(SHAPES)), "value": FilledText(VALUE_CHARACTERS_MAX)},
)


class TaxNumberPair(msgspec.Struct, frozen=True):
    """A type and a number of its shape."""

    pair: Record[TaxNumber] = _PAIR

    def read(self, value: Node, param: str) -> TaxNumber:
        number = self.pair.read(value, param)
        if not has_shape(number.value, SHAPES[number.type]):
            raise Malformed(
                f"Invalid value for {number.type}: {shortened(number.value)}",
                reason="tax_id_invalid",
                param=f"{param}[value]",
            )
        return number

    def unknown(self, value: Node, param: str) -> Iterator[str]:
        return self.pair.unknown(value, param)
